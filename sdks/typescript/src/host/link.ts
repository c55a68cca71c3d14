/**
 * The link to the server: opens sessions one after the other, for as long as the host lives. A session that breaks is
 * followed by the next one after a growing, random delay; turns of the broken one are run again by the server.
 */
import type { ServiceError } from "@grpc/grpc-js";

import { errorFromStatus } from "../client/status.js";
import type { CallboardError } from "../errors.js";
import { isCallboardError } from "../errors.js";
import { HostService } from "../gen/callboard/host/v1/host_pb.js";
import { Backoff } from "../wire/backoff.js";
import type { ServerOptions } from "../wire/channel.js";
import { openChannel, serverAddress } from "../wire/channel.js";
import type { SessionConfig } from "./session.js";
import { Session } from "./session.js";

/** Delays between sessions, in milliseconds. */
const RECONNECT_BASE_MS = 50;
const RECONNECT_MAX_MS = 5_000;

/** Reasons for which the server ends a session and would end every other one too. */
const REFUSALS: ReadonlySet<string> = new Set([
  "PROTOCOL_VERSION",
  "INCOMPATIBLE_TYPE",
  "INVALID_ARGUMENT",
  "UNKNOWN_SYSTEM",
]);

const CONNECT_PATH = `/${HostService.typeName}/${HostService.method.connect.name}`;

/** Keeps a host connected. */
export class Link {
  /** Settles when the types are registered for the first time; rejects if the server refuses them. */
  readonly ready: Promise<void>;
  /** Settles when the link has ended. */
  readonly closed: Promise<void>;

  readonly #config: SessionConfig;
  readonly #server: ServerOptions;
  readonly #backoff = new Backoff(RECONNECT_BASE_MS, RECONNECT_MAX_MS);
  #session: Session | undefined;
  #timer: NodeJS.Timeout | undefined;
  #registered = false;
  #everRegistered = false;
  #stopping = false;
  #becomeReady!: () => void;
  #failReady!: (error: Error) => void;
  #becomeClosed!: () => void;

  constructor(config: SessionConfig, server: ServerOptions) {
    this.#config = config;
    this.#server = server;
    this.ready = new Promise((resolve, reject) => {
      this.#becomeReady = resolve;
      this.#failReady = reject;
    });
    this.ready.catch(() => undefined);
    this.closed = new Promise((resolve) => {
      this.#becomeClosed = resolve;
    });
    this.#open();
  }

  /** True while the server may send turns. */
  get connected(): boolean {
    return this.#registered;
  }

  /** Leaves in good order: no new turns, the running ones are answered, at most `timeoutMs`. */
  async stop(timeoutMs: number, permanent: boolean): Promise<void> {
    if (!this.#stopping) {
      this.#stopping = true;
      clearTimeout(this.#timer);
      if (this.#session === undefined) {
        this.#finish();
      } else if (this.#registered) {
        this.#session.drain(permanent);
        this.#timer = setTimeout(() => {
          this.#config.logger.log("warn", "turns were still running when the drain timeout passed", {});
          this.#session?.abort(undefined);
        }, timeoutMs);
      } else {
        this.#session.abort(undefined);
      }
    }
    return this.closed;
  }

  #open(): void {
    const channel = openChannel(this.#server);
    const stream = channel.makeBidiStreamRequest(
      CONNECT_PATH,
      (message: Buffer) => message,
      (message: Buffer) => message,
    );
    const session = new Session(stream, this.#config, {
      registered: () => this.#onRegistered(),
      refused: (error) => this.#onRefused(error),
      left: () => this.#onClosed(session, undefined),
      closed: (error) => {
        channel.close();
        this.#onClosed(session, error);
      },
    });
    this.#session = session;
  }

  #onRegistered(): void {
    this.#registered = true;
    this.#backoff.reset();
    this.#config.logger.log("info", this.#everRegistered ? "host reconnected" : "host ready", {
      server: serverAddress(this.#server),
      types: [...this.#config.bindings.keys()].join(","),
    });
    this.#everRegistered = true;
    this.#becomeReady();
  }

  #onRefused(error: CallboardError): void {
    const session = this.#session;
    if (error.retry !== "never" || this.#everRegistered) {
      const delay = Math.max(error.retryAfterMs, this.#backoff.next());
      this.#config.logger.log(error.retry === "never" ? "error" : "warn", "the server refused the actor types", {
        reason: error.reason,
        message: error.message,
        retryInMs: Math.round(delay),
      });
      this.#timer = setTimeout(() => session?.register(), delay);
      return;
    }
    this.#stopping = true;
    this.#failReady(error);
    session?.abort(undefined);
  }

  #onClosed(session: Session, closed: Error | undefined): void {
    if (session !== this.#session) {
      return;
    }
    this.#registered = false;
    this.#session = undefined;
    clearTimeout(this.#timer);
    const error = closed && this.#explain(closed);
    if (error !== undefined && this.#isRefusal(error) && !this.#everRegistered) {
      this.#stopping = true;
      this.#failReady(error);
    }
    if (this.#stopping) {
      this.#finish();
      return;
    }
    const delay = this.#backoff.next();
    this.#config.logger.log(error === undefined ? "info" : "warn", "no session with the server; connecting again", {
      server: serverAddress(this.#server),
      ...(error === undefined ? {} : { reason: error.message }),
      retryInMs: Math.round(delay),
    });
    this.#timer = setTimeout(() => this.#open(), delay);
  }

  /** What the server said, in place of gRPC's words for it. */
  #explain(error: Error): Error {
    return "metadata" in error ? errorFromStatus(error as ServiceError, serverAddress(this.#server)) : error;
  }

  /** True if the server itself said that another attempt cannot help. */
  #isRefusal(error: Error): boolean {
    return isCallboardError(error) && error.retry === "never" && REFUSALS.has(error.reason);
  }

  #finish(): void {
    this.#failReady(new Error("The host was stopped before the server took its actor types."));
    this.#becomeClosed();
  }
}
