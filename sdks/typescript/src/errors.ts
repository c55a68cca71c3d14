/**
 * Errors of calls, as actors raise them and callers see them. `CallboardError` is everything that a call can fail with;
 * `ActorError` is the part of it that an actor's own code decided.
 */
import { create } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";

import type { CallError } from "./gen/callboard/type/v1/type_pb.js";
import { CallErrorSchema, Retry } from "./gen/callboard/type/v1/type_pb.js";

/** The canonical gRPC status codes. */
export const Code = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

/** One of the canonical gRPC status codes. */
export type Code = (typeof Code)[keyof typeof Code];

/** Whether a failed call may be sent again: not at all, freely, or only under the same request id. */
export type RetryAdvice = "never" | "safe" | "same-id";

/** What an error carries beside its code, reason and message. */
export interface ErrorFacts {
  /** Text facts for programs, for example the limit that was exceeded. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Typed details; make them with `anyPack` of @bufbuild/protobuf/wkt. */
  readonly details?: readonly Any[];
  /** The error that led to this one. It stays in this process and is only logged. */
  readonly cause?: unknown;
}

/** Why a call failed. */
export class CallboardError extends Error {
  override readonly name: string = "CallboardError";
  /** The gRPC status code. */
  readonly code: number;
  /** Stable and machine readable, for example "MAILBOX_FULL". */
  readonly reason: string;
  /** Whether the call may be sent again. */
  readonly retry: RetryAdvice;
  /** How long to wait before that, in milliseconds; 0 if there is no advice. */
  readonly retryAfterMs: number;
  /** True if an actor's own code raised the error, false if Callboard refused or lost the call. */
  readonly fromActor: boolean;
  /** Text facts for programs. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Typed details. */
  readonly details: readonly Any[];

  constructor(
    code: number,
    reason: string,
    message: string,
    facts: ErrorFacts & { retry?: RetryAdvice; retryAfterMs?: number; fromActor?: boolean } = {},
  ) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.code = code;
    this.reason = reason;
    this.retry = facts.retry ?? "never";
    this.retryAfterMs = facts.retryAfterMs ?? 0;
    this.fromActor = facts.fromActor ?? false;
    this.metadata = facts.metadata ?? {};
    this.details = facts.details ?? [];
  }
}

/**
 * An error that an actor raises on purpose. Thrown from an action it discards what the action did to state and tags,
 * reaches the caller as it is, and is the stored outcome of the call: a retry gets it again.
 */
export class ActorError extends CallboardError {
  override readonly name = "ActorError";

  constructor(code: Code, reason: string, message: string, facts: ErrorFacts = {}) {
    super(code, reason, message, { ...facts, fromActor: true });
  }
}

const RETRY_FROM_WIRE = new Map<number, RetryAdvice>([
  [Retry.SAFE, "safe"],
  [Retry.SAME_ID, "same-id"],
]);

/** Reads an error that came over the wire. @internal */
export function errorFromWire(error: CallError): CallboardError {
  const { metadata, details } = error;
  if (error.fromActor) {
    return new ActorError(error.code as Code, error.reason, error.message, { metadata, details });
  }
  return new CallboardError(error.code, error.reason, error.message, {
    metadata,
    details,
    retry: RETRY_FROM_WIRE.get(error.retry) ?? "never",
    retryAfterMs: error.retryAfterMs,
  });
}

/**
 * What a turn that threw answers. Errors with a reason travel as they are, those of actors called inside the turn
 * included: to the caller they are this actor's outcome. Everything else is ACTION_ERROR without the stack, which stays
 * in the host's log. @internal
 */
export function errorToWire(thrown: unknown, fromActor = true): CallError {
  if (isCallboardError(thrown)) {
    return create(CallErrorSchema, {
      code: thrown.code,
      reason: thrown.reason,
      message: thrown.message,
      retry: Retry.NEVER,
      fromActor,
      metadata: { ...thrown.metadata },
      details: [...thrown.details],
    });
  }
  const text = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
  return create(CallErrorSchema, {
    code: Code.INTERNAL,
    reason: "ACTION_ERROR",
    message: `The action failed: ${text}. State and tags are as they were; the same request id gets this again.`,
    retry: Retry.NEVER,
    fromActor: true,
  });
}

/** True for errors of this SDK, of another copy of it too (two packages may each install their own). */
export function isCallboardError(value: unknown): value is CallboardError {
  if (value instanceof CallboardError) {
    return true;
  }
  return (
    value instanceof Error &&
    (value.name === "ActorError" || value.name === "CallboardError") &&
    typeof (value as Partial<CallboardError>).reason === "string" &&
    typeof (value as Partial<CallboardError>).code === "number"
  );
}

/** The caller's own signal ended the call. @internal */
export function callerGaveUp(signal: AbortSignal | undefined): CallboardError {
  return new CallboardError(
    Code.CANCELLED,
    "CANCELLED",
    "The caller gave up waiting. The action may have run; send it again only with the same id.",
    { cause: signal?.reason },
  );
}

/** The refusal of an argument that cannot be decoded. @internal */
export function badArgument(action: string, why: string, cause?: unknown): CallboardError {
  return new CallboardError(
    Code.INVALID_ARGUMENT,
    "INVALID_ARGUMENT_PAYLOAD",
    `The argument of "${action}" cannot be read: ${why}. Nothing was run; correct the argument.`,
    { cause },
  );
}
