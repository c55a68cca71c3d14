/**
 * Calls that an action makes inside its turn. They are numbered in the order in which the action makes them, so that a
 * turn that is run again makes the same calls under the same ids.
 */
import type { AnyAction } from "../definition.js";
import { toMillis } from "../duration.js";
import { callerGaveUp, CallboardError, Code, errorFromWire } from "../errors.js";
import type { CallError, Payload } from "../gen/callboard/type/v1/type_pb.js";
import type { ActorAddress, CallOptions } from "../invoker.js";
import type { Execution } from "./execution.js";
import { turnEnded } from "./execution.js";
import { withTrace } from "./outputs.js";

/** A call on its way out of a turn. */
export interface CallRequest {
  /** Counts the calls of the turn from 0. */
  readonly index: number;
  readonly target: ActorAddress;
  readonly action: AnyAction;
  /** The argument as the action gave it. */
  readonly argument: unknown;
  readonly payload: Payload | undefined;
  /** 0 means as long as the turn may take. */
  readonly timeoutMs: number;
  readonly metadata: Readonly<Record<string, string>>;
  /** The call's own id; empty for one that follows from the turn's. */
  readonly requestId: string;
}

/** Names the calls of a turn by more than the turn: `PREFIX/I` for the I-th one. */
export interface CallNaming {
  readonly prefix: string;
  next: number;
}

/** The end of a call. */
export type CallOutcome =
  | { readonly case: "reply"; readonly value: Payload | undefined }
  | { readonly case: "error"; readonly value: CallError };

interface Pending {
  readonly action: AnyAction;
  readonly resolve: (reply: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** The calls of one turn. */
export class TurnCalls {
  readonly #execution: Execution;
  #pending: Map<number, Pending> | undefined;
  #next = 0;
  /** How calls are named from now on; undefined for by the turn alone. */
  naming: CallNaming | undefined;

  constructor(execution: Execution) {
    this.#execution = execution;
  }

  /** Makes a call and waits for its reply. */
  make(target: ActorAddress, action: AnyAction, argument: unknown, options: CallOptions = {}): Promise<unknown> {
    const execution = this.#execution;
    if (execution.ended || execution.aborted !== undefined) {
      return Promise.reject(turnEnded());
    }
    if (options.idempotencyKey !== undefined) {
      return Promise.reject(
        new CallboardError(
          Code.INVALID_ARGUMENT,
          "INVALID_ARGUMENT",
          "A call inside a turn takes no idempotencyKey: its id follows from the turn's. Leave it out.",
        ),
      );
    }
    if (options.signal?.aborted === true) {
      return Promise.reject(callerGaveUp(options.signal));
    }
    const request: CallRequest = {
      index: this.#next,
      target,
      action,
      argument,
      payload: action.input.encode(argument) as Payload | undefined,
      timeoutMs: options.timeout === undefined ? 0 : Math.max(1, toMillis(options.timeout)),
      metadata: withTrace(options.metadata, execution.spec.metadata),
      requestId: this.#named(),
    };
    this.#next += 1;
    const reply = new Promise<unknown>((resolve, reject) => {
      (this.#pending ??= new Map()).set(request.index, { action, resolve, reject });
    });
    // An action may return without waiting for its call; that must not end the process.
    reply.catch(() => undefined);
    const abandon = (): void => this.#take(request.index)?.reject(callerGaveUp(options.signal));
    options.signal?.addEventListener("abort", abandon, { once: true });
    execution.world.call(execution, request);
    return reply;
  }

  /** Reports the end of a call. Late and unknown ones are ignored. */
  settle(index: number, outcome: CallOutcome): void {
    const pending = this.#take(index);
    if (pending === undefined) {
      return;
    }
    if (outcome.case === "error") {
      pending.reject(errorFromWire(outcome.value));
      return;
    }
    try {
      pending.resolve(pending.action.output.decode(outcome.value));
    } catch (error) {
      pending.reject(
        new CallboardError(
          Code.INTERNAL,
          "INVALID_REPLY_PAYLOAD",
          `The reply of "${pending.action.name}" cannot be read: ${String(error)}. The action did run.`,
          { cause: error },
        ),
      );
    }
  }

  /** True if a call is not answered yet. */
  get open(): boolean {
    return this.#pending !== undefined && this.#pending.size > 0;
  }

  /** Ends all open calls with an error. */
  failAll(error: CallboardError): void {
    const pending = this.#pending;
    this.#pending = undefined;
    pending?.forEach(({ reject }) => reject(error));
  }

  #named(): string {
    const { naming } = this;
    if (naming === undefined) {
      return "";
    }
    naming.next += 1;
    return `${naming.prefix}/${naming.next - 1}`;
  }

  #take(index: number): Pending | undefined {
    const pending = this.#pending?.get(index);
    this.#pending?.delete(index);
    return pending;
  }
}
