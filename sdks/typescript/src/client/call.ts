/**
 * One logical call: attempts, retries and the deadline over all of them. The request id and the time of creation stay the
 * same on every attempt, which is what makes retries safe.
 */
import { callerGaveUp, CallboardError, Code } from "../errors.js";
import { Backoff } from "../wire/backoff.js";
import { CONNECTION_LOST } from "./status.js";
import type { AttemptEnd } from "./transport.js";

/** Delays between attempts, in milliseconds. */
const RETRY_BASE_MS = 50;
const RETRY_MAX_MS = 5_000;
/** No retry after this time: half of the window in which the server remembers outcomes. */
const RETRY_HORIZON_MS = 5 * 60_000;

/** What a call waits for. */
export interface CallLimits {
  readonly timeoutMs: number;
  readonly retry: boolean;
  readonly signal: AbortSignal | undefined;
}

/** What is called: sent again and again, until there is an outcome or the time is over. */
export interface Attempts<R> {
  /** When the call was first made, in Unix milliseconds. */
  readonly createdAtMs: number;
  /** Names the call in errors; empty if it needs no name. */
  readonly requestId: string;
  /** Sends the call once. `done` is called once, unless the returned function is called before. */
  attempt(timeoutMs: number, done: (end: AttemptEnd<R>) => void): () => void;
}

/** Makes a call and waits for its end. */
export function runCall<R>(attempts: Attempts<R>, limits: CallLimits): Promise<R> {
  return new Promise((resolve, reject) => {
    new LogicalCall(attempts, limits, resolve, reject).start();
  });
}

class LogicalCall<R> {
  readonly #attempts: Attempts<R>;
  readonly #limits: CallLimits;
  readonly #resolve: (response: R) => void;
  readonly #reject: (error: unknown) => void;
  readonly #deadline: number;
  readonly #giveUp: number;
  #backoff: Backoff | undefined;
  #timer: NodeJS.Timeout | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  #cancel: (() => void) | undefined;
  #lastError: CallboardError | undefined;

  constructor(
    attempts: Attempts<R>,
    limits: CallLimits,
    resolve: (response: R) => void,
    reject: (error: unknown) => void,
  ) {
    this.#attempts = attempts;
    this.#limits = limits;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#deadline = attempts.createdAtMs + limits.timeoutMs;
    this.#giveUp = Math.min(this.#deadline, attempts.createdAtMs + RETRY_HORIZON_MS);
  }

  start(): void {
    const { signal, timeoutMs } = this.#limits;
    if (signal?.aborted === true) {
      this.#reject(callerGaveUp(signal));
      return;
    }
    signal?.addEventListener("abort", this.#onAbort, { once: true });
    this.#timer = setTimeout(() => this.#onDeadline(), timeoutMs);
    this.#attempt();
  }

  readonly #onAbort = (): void => {
    this.#cancel?.();
    this.#finish();
    this.#reject(callerGaveUp(this.#limits.signal));
  };

  #attempt(): void {
    const leftMs = Math.max(1, this.#deadline - Date.now());
    this.#cancel = this.#attempts.attempt(leftMs, (end) => this.#onEnd(end));
  }

  #onEnd(end: AttemptEnd<R>): void {
    this.#cancel = undefined;
    if (end.case === "response") {
      this.#finish();
      this.#resolve(end.value);
      return;
    }
    const error = end.value;
    const retryable = this.#limits.retry && error.retry !== "never";
    this.#backoff ??= new Backoff(RETRY_BASE_MS, RETRY_MAX_MS);
    const delay = error.retryAfterMs + this.#backoff.next();
    const inTime = Date.now() + delay < this.#giveUp;
    if (retryable && !inTime && error.reason === CONNECTION_LOST) {
      // Nothing was heard from the server: what the call ends with is its deadline, not this.
      this.#lastError = error;
      return;
    }
    if (!retryable || !inTime) {
      this.#finish();
      this.#reject(error);
      return;
    }
    this.#lastError = error;
    this.#retryTimer = setTimeout(() => this.#attempt(), delay);
  }

  #onDeadline(): void {
    this.#cancel?.();
    this.#finish();
    const last = this.#lastError;
    const { requestId } = this.#attempts;
    this.#reject(
      new CallboardError(
        Code.DEADLINE_EXCEEDED,
        "DEADLINE_EXCEEDED",
        `No reply within ${this.#limits.timeoutMs} ms. The action may have run; send it again only with the same id.` +
          (last === undefined ? "" : ` The last attempt failed with ${last.reason}: ${last.message}`),
        { cause: last, metadata: requestId === "" ? {} : { request_id: requestId } },
      ),
    );
  }

  #finish(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#retryTimer);
    this.#limits.signal?.removeEventListener("abort", this.#onAbort);
  }
}
