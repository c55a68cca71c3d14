/**
 * The links of one host: a session to every node of the cluster, or in sidecar mode to the one that it was given. What
 * happens to one node disturbs no session with another.
 */
import type { CallboardError } from "../errors.js";
import type { Topology, Welcome } from "../gen/callboard/host/v1/host_pb.js";
import type { ServerOptions } from "../wire/channel.js";
import { serverAddresses } from "../wire/channel.js";
import type { LinkEvents } from "./link.js";
import { Link } from "./link.js";
import { Roster } from "./roster.js";
import type { SessionConfig } from "./session.js";

/** Which nodes a host serves: all of the cluster, or only the one that it was given. */
export type HostMode = "cluster" | "sidecar";

/** What a fleet needs to know. */
export interface FleetConfig extends SessionConfig {
  readonly server: ServerOptions;
  readonly mode: HostMode;
  /** Most turns at a time over all sessions. */
  readonly credits: number;
  readonly drainMs: number;
}

/** Keeps a host connected. */
export class Fleet implements LinkEvents {
  /** Settles when the types are registered for the first time; rejects if they are refused. */
  readonly ready: Promise<void>;
  /** Settles when the last session has ended. */
  readonly closed: Promise<void>;

  readonly #config: FleetConfig;
  readonly #roster: Roster;
  readonly #links = new Map<string, Link>();
  /** Links that are wanted no more and finish their turns. */
  readonly #leaving = new Set<Link>();
  #everRegistered = false;
  #stopping = false;
  #becomeReady!: () => void;
  #failReady!: (error: Error) => void;
  #becomeClosed!: () => void;

  constructor(config: FleetConfig) {
    const addresses = serverAddresses(config.server);
    if (config.mode === "sidecar" && addresses.length > 1) {
      throw new TypeError(`A sidecar host serves one node, but it was given ${addresses.join(", ")}.`);
    }
    this.#config = config;
    this.#roster = new Roster(addresses, config.mode === "cluster");
    this.ready = new Promise((resolve, reject) => {
      this.#becomeReady = resolve;
      this.#failReady = reject;
    });
    this.ready.catch(() => undefined);
    this.closed = new Promise((resolve) => {
      this.#becomeClosed = resolve;
    });
    this.#adjust();
  }

  /** True while a node may send turns. */
  get connected(): boolean {
    return [...this.#links.values()].some((link) => link.connected);
  }

  /** Leaves in good order: no new turns, the running ones are answered, at most the drain timeout. */
  async stop(permanent: boolean): Promise<void> {
    if (!this.#stopping) {
      this.#stopping = true;
      const links = [...this.#links.values()];
      this.#links.clear();
      links.forEach((link) => this.#leaving.add(link));
      links.forEach((link) => link.stop(this.#config.drainMs, permanent));
      this.#closeIfDone();
    }
    return this.closed;
  }

  // === what links tell ===

  /** @internal */
  credits(): number {
    return this.#share(this.#live() + 1);
  }

  /** @internal */
  welcomed(link: Link, { nodeId, nodes }: Welcome): boolean {
    const serves = this.#roster.welcomed(link.address, nodeId, nodes);
    if (!serves) {
      this.#links.delete(link.address);
      this.#leaving.add(link);
    }
    // The link learns first that it is welcome; then the others make room for it.
    queueMicrotask(() => this.#adjust());
    return serves;
  }

  /** @internal */
  topology({ viewVersion, nodes }: Topology): void {
    this.#roster.topology(viewVersion, nodes);
    this.#adjust();
  }

  /** @internal */
  registered(): void {
    this.#everRegistered = true;
    this.#becomeReady();
  }

  /** @internal */
  lost(link: Link, answered: boolean): void {
    if (answered) {
      this.#roster.closed(link.address);
    } else if (this.#links.get(link.address) === link) {
      this.#roster.failed(link.address);
    }
    this.#adjust();
  }

  /** @internal */
  refused(error: CallboardError): boolean {
    if (this.#everRegistered || this.#stopping) {
      // Others have taken the types: this node may be older or newer, and comes round when it is replaced.
      return this.#stopping;
    }
    this.#failReady(error);
    void this.stop(false);
    return true;
  }

  /** @internal */
  ended(link: Link): void {
    this.#leaving.delete(link);
    this.#closeIfDone();
  }

  // === what follows from it ===

  /** Opens and closes links until they are those that are wanted, and shares the credits out anew. */
  #adjust(): void {
    if (this.#stopping) {
      return;
    }
    const wanted = this.#roster.wanted();
    for (const [address, link] of this.#links) {
      if (!wanted.has(address)) {
        this.#links.delete(address);
        this.#leaving.add(link);
        link.stop(this.#config.drainMs, false);
      }
    }
    for (const address of wanted) {
      if (!this.#links.has(address)) {
        const link = new Link(address, this.#config, this.#config.server, this);
        this.#links.set(address, link);
        link.start();
      }
    }
    const share = this.#share(Math.max(1, this.#live()));
    for (const link of this.#links.values()) {
      if (link.live) {
        link.setCredits(share);
      }
    }
  }

  #live(): number {
    return [...this.#links.values()].filter((link) => link.live).length;
  }

  #share(sessions: number): number {
    return Math.max(1, Math.floor(this.#config.credits / sessions));
  }

  #closeIfDone(): void {
    if (this.#stopping && this.#leaving.size === 0) {
      this.#failReady(new Error("The host was stopped before the server took its actor types."));
      this.#becomeClosed();
    }
  }
}
