/**
 * The link to one node: opens sessions one after the other, for as long as the `Fleet` wants the node. A session that
 * breaks is followed by the next one after a growing, random delay; turns of the broken one are run again by the cluster.
 */
import type { Client as Channel, ServiceError } from "@grpc/grpc-js";

import { errorFromStatus } from "../client/status.js";
import type { CallboardError } from "../errors.js";
import { isCallboardError } from "../errors.js";
import type { Topology, Welcome } from "../gen/callboard/host/v1/host_pb.js";
import { HostService } from "../gen/callboard/host/v1/host_pb.js";
import { Backoff } from "../wire/backoff.js";
import type { ServerOptions } from "../wire/channel.js";
import { openChannel } from "../wire/channel.js";
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

/** What a link tells its fleet. */
export interface LinkEvents {
  /** How many turns to ask for in the Hello of a new session. */
  credits(): number;
  /** The node answered. False if it is not to be served over this link. */
  welcomed(link: Link, welcome: Welcome): boolean;
  /** The node told who belongs to the cluster. */
  topology(topology: Topology): void;
  /** The node has taken the types. */
  registered(link: Link): void;
  /** No session any more; `answered` if the node had welcomed it. */
  lost(link: Link, answered: boolean): void;
  /** The node refused the host for good. True if that ends the host, false to keep trying. */
  refused(error: CallboardError): boolean;
  /** The link has ended. */
  ended(link: Link): void;
}

/** Keeps a host connected to one node. */
export class Link {
  /** host:port of the node. */
  readonly address: string;
  readonly #config: SessionConfig;
  readonly #server: ServerOptions;
  readonly #events: LinkEvents;
  readonly #backoff = new Backoff(RECONNECT_BASE_MS, RECONNECT_MAX_MS);
  #session: Session | undefined;
  #timer: NodeJS.Timeout | undefined;
  #welcomed = false;
  #registered = false;
  #everRegistered = false;
  #complained = false;
  #stopping = false;
  #over = false;

  constructor(address: string, config: SessionConfig, server: ServerOptions, events: LinkEvents) {
    this.address = address;
    this.#config = config;
    this.#server = server;
    this.#events = events;
  }

  /** Opens the first session. */
  start(): void {
    this.#open();
  }

  /** True while the node may send turns. */
  get connected(): boolean {
    return this.#registered;
  }

  /** True while the node has greeted the host and the session is not being left. */
  get live(): boolean {
    return this.#welcomed && !this.#stopping;
  }

  /** Sets how many turns the node may send at a time. */
  setCredits(credits: number): void {
    this.#session?.setCredits(credits);
  }

  /** Leaves in good order: no new turns, the running ones are answered, at most `timeoutMs`. */
  stop(timeoutMs: number, permanent: boolean): void {
    if (this.#stopping) {
      return;
    }
    this.#stopping = true;
    clearTimeout(this.#timer);
    if (this.#session === undefined) {
      this.#finish();
    } else if (this.#registered) {
      this.#session.drain(permanent);
      this.#timer = setTimeout(() => {
        this.#log("warn", "turns were still running when the drain timeout passed", {});
        this.#session?.abort(undefined);
      }, timeoutMs);
    } else {
      this.#session.abort(undefined);
    }
  }

  #open(): void {
    let channel: Channel;
    try {
      channel = openChannel(this.address, this.#server);
    } catch (error) {
      this.#again(error as Error);
      return;
    }
    const stream = channel.makeBidiStreamRequest(
      CONNECT_PATH,
      (message: Buffer) => message,
      (message: Buffer) => message,
    );
    const session = new Session(stream, this.#config, this.#events.credits(), {
      welcomed: (welcome) => this.#onWelcomed(welcome),
      topology: (topology) => this.#events.topology(topology),
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

  #onWelcomed(welcome: Welcome): boolean {
    const serves = this.#events.welcomed(this, welcome);
    if (serves) {
      this.#welcomed = true;
    } else {
      this.#stopping = true;
    }
    return serves && !this.#stopping;
  }

  #onRegistered(): void {
    this.#registered = true;
    this.#backoff.reset();
    this.#log("info", this.#everRegistered ? "host reconnected" : "host ready", {
      types: [...this.#config.bindings.keys()].join(","),
    });
    this.#everRegistered = true;
    this.#complained = false;
    this.#events.registered(this);
  }

  #onRefused(error: CallboardError): void {
    const session = this.#session;
    if (error.retry === "never" && this.#events.refused(error)) {
      return;
    }
    const delay = Math.max(error.retryAfterMs, this.#backoff.next());
    this.#complain(error.retry === "never" ? "error" : "warn", "the node refused the actor types", {
      reason: error.reason,
      message: error.message,
    });
    this.#timer = setTimeout(() => session?.register(), delay);
  }

  #onClosed(session: Session, closed: Error | undefined): void {
    if (session !== this.#session) {
      return;
    }
    const answered = this.#welcomed;
    this.#welcomed = false;
    this.#registered = false;
    this.#session = undefined;
    clearTimeout(this.#timer);
    const error = closed && this.#explain(closed);
    this.#events.lost(this, answered);
    if (error !== undefined && this.#isRefusal(error)) {
      this.#events.refused(error as CallboardError);
    }
    if (this.#stopping) {
      this.#finish();
    } else {
      this.#again(error);
    }
  }

  #again(error: Error | undefined): void {
    if (error === undefined) {
      this.#log("info", "the node ended the session; connecting again", {});
    } else {
      this.#complain("warn", "no session with the node; connecting again until it works", { reason: error.message });
    }
    this.#timer = setTimeout(() => this.#open(), this.#backoff.next());
  }

  /** What the server said, in place of gRPC's words for it. */
  #explain(error: Error): Error {
    return "metadata" in error ? errorFromStatus(error as ServiceError, this.address) : error;
  }

  /** True if the server itself said that another attempt cannot help. */
  #isRefusal(error: Error): boolean {
    return isCallboardError(error) && error.retry === "never" && REFUSALS.has(error.reason);
  }

  /** Says it aloud once, and softly until the node takes the types again. */
  #complain(level: "warn" | "error", message: string, facts: Readonly<Record<string, unknown>>): void {
    this.#log(this.#complained ? "debug" : level, message, facts);
    this.#complained = true;
  }

  #log(level: "debug" | "info" | "warn" | "error", message: string, facts: Readonly<Record<string, unknown>>): void {
    this.#config.logger.log(level, message, { server: this.address, ...facts });
  }

  #finish(): void {
    if (!this.#over) {
      this.#over = true;
      this.#events.ended(this);
    }
  }
}
