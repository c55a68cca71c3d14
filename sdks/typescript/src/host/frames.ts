/**
 * Builds the host's frames and reads the node's turns: the border between protocol messages and turns.
 */
import { create, toBinary } from "@bufbuild/protobuf";

import type { ActorTypeDefinition, CallError, Payload } from "../gen/callboard/type/v1/type_pb.js";
import type { HostFrame, Limits, Turn, TurnResult, TurnRun, Workflow } from "../gen/callboard/host/v1/host_pb.js";
import { ConnectRequestSchema, HostFrameSchema, TurnCallSchema, WorkflowSchema } from "../gen/callboard/host/v1/host_pb.js";
import { addressToId, idToAddress } from "../address.js";
import { payload } from "../codec.js";
import { CallboardError, Code, errorToWire } from "../errors.js";
import type { ActorAddress } from "../invoker.js";
import type { CallRequest } from "../turn/calls.js";
import type { TurnEnd, TurnSpec } from "../turn/execution.js";
import type { NextOut, TurnWorkflow } from "../turn/outputs.js";
import { PROTOCOL, SDK_NAME, SDK_VERSION } from "../version.js";

type Frame = HostFrame["frame"];

/** How the host introduces itself. */
export interface Introduction {
  readonly instanceId: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Encodes one frame as a message that can be joined with others. */
export function encodeFrame(frame: Frame): Uint8Array {
  return toBinary(ConnectRequestSchema, {
    $typeName: "callboard.host.v1.ConnectRequest",
    frames: [{ $typeName: "callboard.host.v1.HostFrame", frame }],
  });
}

/** The first frame of a session. */
export function hello(who: Introduction, credits: number): Uint8Array {
  const { frame } = create(HostFrameSchema, {
    frame: {
      case: "hello",
      value: {
        protocolMajor: PROTOCOL.major,
        protocolMinor: PROTOCOL.minor,
        sdkName: SDK_NAME,
        sdkVersion: SDK_VERSION,
        runtime: `Node.js ${process.versions.node}`,
        instanceId: who.instanceId,
        labels: { ...who.labels },
        credits,
      },
    },
  });
  return encodeFrame(frame);
}

/** Offers actor types. */
export function register(
  registerId: bigint,
  system: string,
  types: readonly ActorTypeDefinition[],
  descriptorSet: Uint8Array,
): Uint8Array {
  const { frame } = create(HostFrameSchema, {
    frame: { case: "register", value: { registerId, system, types: [...types], descriptorSet } },
  });
  return encodeFrame(frame);
}

/** Sets how many turns the host takes at a time on this session. */
export function credit(turns: number): Uint8Array {
  return encodeFrame({ case: "credit", value: { $typeName: "callboard.host.v1.Credit", turns } });
}

/** Announces that the host leaves. */
export function drain(permanent: boolean): Uint8Array {
  return encodeFrame({ case: "drain", value: { $typeName: "callboard.host.v1.Drain", permanent } });
}

/** Answers a Ping. */
export function pong(nonce: bigint): Uint8Array {
  return encodeFrame({ case: "pong", value: { $typeName: "callboard.host.v1.Pong", nonce } });
}

/** Asks for a run again, with its state in full. */
export function stateMissing(turnId: bigint): Uint8Array {
  return encodeFrame({ case: "stateMissing", value: { $typeName: "callboard.host.v1.StateMissing", turnId } });
}

/** The end of a turn. */
export function result(turnId: bigint, end: TurnEnd): Uint8Array {
  const value: TurnResult = {
    $typeName: "callboard.host.v1.TurnResult",
    turnId,
    outcome: outcomeOf(end),
  };
  if (end.state !== undefined) {
    value.state = end.state;
  }
  if (end.tags !== undefined) {
    value.tags = { $typeName: "callboard.host.v1.Tags", values: { ...end.tags } };
  }
  if (end.workflow !== undefined) {
    value.workflow = workflowOf(end.workflow);
  }
  return encodeFrame({ case: "result", value });
}

function workflowOf({ effects, broadcasts, next, checkpoint, deactivate }: TurnWorkflow): Workflow {
  const withPayload = (encoded: Payload | undefined) => (encoded === undefined ? {} : { payload: encoded });
  return create(WorkflowSchema, {
    effects: effects.map((effect) => ({
      target: addressToId(effect.target),
      action: effect.action.name,
      ...withPayload(effect.payload),
      delayMs: BigInt(effect.delayMs),
      dueAtMs: BigInt(effect.dueAtMs),
      metadata: effect.metadata,
    })),
    broadcasts: broadcasts.map(({ channel, payload: said, metadata }) => ({
      channel,
      ...withPayload(said),
      metadata,
    })),
    ...(next === undefined ? {} : { next: nextOf(next) }),
    checkpoint,
    deactivate,
  });
}

function nextOf({ kind, target, action }: NextOut): Workflow["next"] {
  const value = {
    $typeName: "callboard.host.v1.NextCall",
    target: addressToId(target),
    action: action.name,
  } as const;
  return { case: kind, value };
}

/** A call made inside a turn. */
export function turnCall(turnId: bigint, call: CallRequest): Uint8Array {
  const value = create(TurnCallSchema, {
    turnId,
    callIndex: call.index,
    target: addressToId(call.target),
    action: call.action.name,
    ...(call.payload === undefined ? {} : { payload: call.payload }),
    timeoutMs: call.timeoutMs,
    metadata: { ...call.metadata },
    requestId: call.requestId,
  });
  return encodeFrame({ case: "call", value });
}

/** What a turn is asked to do. */
export function specOf(run: TurnRun, actor: ActorAddress, turn: Turn): TurnSpec {
  return {
    turnId: turn.turnId,
    actor,
    action: turn.action,
    argument: turn.payload,
    requestId: turn.requestId,
    createdAtMs: Number(turn.createdAtMs),
    attempt: turn.attempt,
    timeoutMs: turn.timeoutMs,
    caller: turn.caller === undefined ? undefined : idToAddress(turn.caller),
    metadata: turn.metadata,
    epoch: run.epoch,
    revision: turn.revision,
    readOnly: turn.readOnly,
  };
}

/** Makes an end that is over the node's limits an error, as the node would. */
export function withinLimits(end: TurnEnd, limits: Limits | undefined): TurnEnd {
  if (limits === undefined) {
    return end;
  }
  const reply = end.outcome.case === "reply" ? (end.outcome.value?.data.length ?? 0) : 0;
  if (limits.payloadBytesMax > 0 && reply > limits.payloadBytesMax) {
    return tooLarge("PAYLOAD_TOO_LARGE", "reply", reply, limits.payloadBytesMax);
  }
  for (const { payload: output } of [...(end.workflow?.effects ?? []), ...(end.workflow?.broadcasts ?? [])]) {
    const bytes = output?.data.length ?? 0;
    if (limits.payloadBytesMax > 0 && bytes > limits.payloadBytesMax) {
      return tooLarge("PAYLOAD_TOO_LARGE", "effect or broadcast", bytes, limits.payloadBytesMax);
    }
  }
  const state = end.state?.data.length ?? 0;
  if (limits.stateBytesMax > 0 && state > limits.stateBytesMax) {
    return tooLarge("STATE_TOO_LARGE", "state", state, limits.stateBytesMax);
  }
  return end;
}

/** The end of a turn whose whole result does not fit into one message. */
export function resultTooLarge(bytes: number, limit: number): TurnEnd {
  return tooLarge("PAYLOAD_TOO_LARGE", "result", bytes, limit);
}

/** The end of a call whose argument is over the node's limit; undefined if it is not. */
export function callTooLarge(call: CallRequest, limits: Limits | undefined): CallError | undefined {
  const bytes = call.payload?.data.length ?? 0;
  const limit = limits?.payloadBytesMax ?? 0;
  return limit > 0 && bytes > limit
    ? errorToWire(overLimit("PAYLOAD_TOO_LARGE", "argument", bytes, limit), false)
    : undefined;
}

function tooLarge(reason: string, what: string, bytes: number, limit: number): TurnEnd {
  return { outcome: { case: "error", value: errorToWire(overLimit(reason, what, bytes, limit), false) } };
}

function overLimit(reason: string, what: string, bytes: number, limit: number): CallboardError {
  return new CallboardError(
    reason === "STATE_TOO_LARGE" ? Code.FAILED_PRECONDITION : Code.INVALID_ARGUMENT,
    reason,
    `The ${what} has ${bytes} bytes, the limit is ${limit}. State and tags are as they were.`,
    { metadata: { limit: String(limit), bytes: String(bytes) } },
  );
}

function outcomeOf(end: TurnEnd): TurnResult["outcome"] {
  const { outcome } = end;
  switch (outcome.case) {
    case "reply":
      return { case: "reply", value: outcome.value ?? nothing() };
    case "error":
      return { case: "error", value: outcome.value };
    case "cancelled":
      return { case: "cancelled", value: { $typeName: "callboard.host.v1.Cancelled" } };
  }
}

function nothing(): Payload {
  return payload("", "", new Uint8Array());
}
