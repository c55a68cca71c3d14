/**
 * One turn: decodes the argument, runs the action on its context, and makes the result. The host and the test kit run
 * turns through this same code; what differs between them is who delivers calls and what time it is.
 *
 * A turn ends exactly once. After that its context is dead: code that runs on regardless of its aborted signal can no
 * longer change anything.
 */
import { addressText } from "../address.js";
import type { Binding, BoundAction } from "../binding.js";
import { payload, samePayload } from "../codec.js";
import { HandOver } from "../describe.js";
import { badArgument, CallboardError, Code, errorToWire, isCallboardError } from "../errors.js";
import type { CallError, Payload } from "../gen/callboard/type/v1/type_pb.js";
import type { ActorAddress } from "../invoker.js";
import type { Logger } from "../logger.js";
import type { CallRequest } from "./calls.js";
import { TurnCalls } from "./calls.js";
import { TurnContext } from "./context.js";
import type { TurnWorkflow } from "./outputs.js";

/** What the turn is asked to do. */
export interface TurnSpec {
  /** The node's number for the turn. */
  readonly turnId: bigint;
  readonly actor: ActorAddress;
  readonly action: string;
  readonly argument: Payload | undefined;
  readonly requestId: string;
  readonly createdAtMs: number;
  readonly attempt: number;
  /** 0 means no limit. */
  readonly timeoutMs: number;
  readonly caller: ActorAddress | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  readonly epoch: bigint;
  readonly revision: bigint;
  readonly readOnly: boolean;
}

/** What the previous turn of the actor left. */
export interface ActorImage {
  readonly state: Payload | undefined;
  readonly tags: Readonly<Record<string, string>>;
}

/** Where the turn runs: in a host's session, or in the test kit. */
export interface TurnWorld {
  readonly logger: Logger;
  /** The time in Unix milliseconds. */
  now(): number;
  /** Sends a call; its end is reported through `Execution.calls.settle`. */
  call(execution: Execution, request: CallRequest): void;
}

/** What came of a turn. */
export type TurnOutcome =
  | { readonly case: "reply"; readonly value: Payload | undefined }
  | { readonly case: "error"; readonly value: CallError }
  | { readonly case: "cancelled" };

/** The end of a turn. `state` and `tags` are set only if they changed, `workflow` if the turn set something going. */
export interface TurnEnd {
  readonly outcome: TurnOutcome;
  readonly state?: Payload;
  readonly tags?: Readonly<Record<string, string>>;
  readonly workflow?: TurnWorkflow;
}

/** Why a turn is aborted. */
export type AbortCause = "cancelled" | "timeout" | "detached";

const NO_VALUE = payload("", "", new Uint8Array());
const CANCELLED: TurnEnd = { outcome: { case: "cancelled" } };

/** The life of one turn. */
export class Execution {
  readonly binding: Binding;
  readonly spec: TurnSpec;
  readonly world: TurnWorld;
  /** When the turn must have ended, in Unix milliseconds; Infinity for no limit. */
  readonly deadlineMs: number;
  /** Calls that the action made and that are not answered yet. */
  readonly calls: TurnCalls;

  /** Why the turn was aborted, if it was. */
  aborted: AbortCause | undefined;
  /** True once nothing of the turn counts any longer. */
  ended = false;
  /** Watches the deadline, if the turn runs long enough to need it. */
  timer: NodeJS.Timeout | undefined;
  /** Set if the stored state could not be read; not the action's fault, whatever it makes of it. */
  stateError: CallboardError | undefined;

  #controller: AbortController | undefined;
  #onEnd: ((end: TurnEnd) => void) | undefined;
  #image: ActorImage | undefined;
  #context: TurnContext | undefined;

  constructor(binding: Binding, spec: TurnSpec, world: TurnWorld) {
    this.binding = binding;
    this.spec = spec;
    this.world = world;
    this.deadlineMs = spec.timeoutMs > 0 ? world.now() + spec.timeoutMs : Number.POSITIVE_INFINITY;
    this.calls = new TurnCalls(this);
  }

  /** The action's signal, made when the action first asks for it: most never do. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.aborted !== undefined) {
        this.#controller.abort(abortError(this.aborted));
      }
    }
    return this.#controller.signal;
  }

  /** Runs the turn on what the previous one left. Gives the end at once, or later through `onEnd`. */
  start(image: ActorImage, onEnd: (end: TurnEnd) => void): TurnEnd | undefined {
    if (this.aborted === "cancelled") {
      return this.#end(CANCELLED);
    }
    const action = this.binding.actions.get(this.spec.action);
    if (action === undefined) {
      return this.#end(refused(unknownAction(this.spec)));
    }
    let argument: unknown;
    try {
      argument = action.def.input.decode(this.spec.argument);
    } catch (error) {
      return this.#end(refused(badArgument(this.spec.action, messageOf(error), error)));
    }
    this.#image = image;
    this.#onEnd = onEnd;
    this.#context = new TurnContext(this, image, this.spec.readOnly || action.def.readOnly);
    let result: unknown;
    try {
      result = action.run(this.#context, argument);
    } catch (error) {
      return this.#end(this.#failure(error));
    }
    if (!isThenable(result)) {
      return this.#end(this.#success(action, result));
    }
    result.then(
      (value) => this.#report(() => this.#success(action, value)),
      (error: unknown) => this.#report(() => this.#failure(error)),
    );
    return undefined;
  }

  /** Ends the turn early: at once, or for "cancelled" when its code has noticed. */
  abort(cause: AbortCause): void {
    if (this.ended || this.aborted === cause) {
      return;
    }
    this.aborted = cause;
    const error = abortError(cause);
    if (cause === "timeout") {
      this.#report(() => refused(error));
    } else if (cause === "detached") {
      this.ended = true;
    }
    this.calls.failAll(error);
    this.#controller?.abort(error);
  }

  #report(end: () => TurnEnd): void {
    if (!this.ended) {
      const result = end();
      this.#end(result);
      this.#onEnd?.(result);
    }
  }

  #end(end: TurnEnd): TurnEnd {
    this.ended = true;
    if (this.calls.open) {
      this.calls.failAll(turnEnded());
    }
    return end;
  }

  #success(action: BoundAction, result: unknown): TurnEnd {
    const context = this.#context as TurnContext;
    const before = this.#image as ActorImage;
    try {
      const next = result instanceof HandOver ? context.handOver(result) : undefined;
      const value = next === undefined ? action.def.output.encode(result) : next.payload;
      const outcome = { case: "reply", value } as const;
      const workflow = context.workflow(next?.out);
      const state = context.writtenState();
      const tags = context.writtenTags();
      const changed = state !== undefined && !samePayload(state.payload, before.state);
      return {
        outcome,
        ...(changed ? { state: state.payload ?? NO_VALUE } : {}),
        ...(tags === undefined ? {} : { tags }),
        ...(workflow === undefined ? {} : { workflow }),
      };
    } catch (error) {
      return this.#failure(error);
    }
  }

  #failure(error: unknown): TurnEnd {
    if (this.aborted === "cancelled") {
      return CANCELLED;
    }
    if (this.stateError !== undefined) {
      return refused(this.stateError);
    }
    if (!isCallboardError(error)) {
      const { actor, action, requestId } = this.spec;
      this.world.logger.log("error", "an action failed unexpectedly", {
        actor: addressText(actor),
        action,
        requestId,
        error,
      });
    }
    return { outcome: { case: "error", value: errorToWire(error) } };
  }
}

/** The error that a turn's signal and its open calls get. */
function abortError(cause: AbortCause): CallboardError {
  switch (cause) {
    case "cancelled":
      return new CallboardError(Code.CANCELLED, "CANCELLED", "Nobody waits for this turn any longer.");
    case "timeout":
      return new CallboardError(
        Code.DEADLINE_EXCEEDED,
        "DEADLINE_EXCEEDED",
        "The turn took longer than it may. State and tags are as they were; make it shorter or raise its timeout.",
      );
    case "detached":
      return new CallboardError(
        Code.ABORTED,
        "TURN_ENDED",
        "This turn is over: nothing that it does counts any longer. Await everything before an action returns.",
      );
  }
}

/** The error for a context that is used after its turn. @internal */
export function turnEnded(): CallboardError {
  return abortError("detached");
}

/** An answer that the host gives in the action's place. */
function refused(error: CallboardError): TurnEnd {
  return { outcome: { case: "error", value: errorToWire(error, false) } };
}

function unknownAction(spec: TurnSpec): CallboardError {
  return new CallboardError(
    Code.NOT_FOUND,
    "UNKNOWN_ACTION",
    `Actors of type "${spec.actor.type}" have no action "${spec.action}" on this host. Nothing was run.`,
  );
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === "object" && value !== null && typeof (value as PromiseLike<unknown>).then === "function"
  );
}
