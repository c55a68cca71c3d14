/**
 * Which addresses a host keeps a session with: those that it was given, and in cluster mode those that the nodes tell.
 * Only decides; the `Fleet` opens and closes. A node is served once, whatever names it has: whoever reached it first keeps
 * it, which also makes do where the addresses that nodes tell cannot be reached from here.
 */

/** A node as Welcome and Topology name it. */
export interface Member {
  readonly nodeId: bigint;
  readonly address: string;
}

/** The nodes that a host knows of. */
export class Roster {
  readonly #configured: readonly string[];
  readonly #discovers: boolean;
  readonly #members = new Map<bigint, string>();
  /** Nodes that a Topology no longer named; an older Welcome must not bring them back. */
  readonly #departed = new Set<bigint>();
  /** Who answered at an address last. */
  readonly #answered = new Map<string, bigint>();
  /** Where a node is being served. */
  readonly #held = new Map<bigint, string>();
  /** Where a node was served last; it gets the first try when that session is lost. */
  readonly #last = new Map<bigint, string>();
  /** Addresses where the last try got no answer. */
  readonly #failing = new Set<string>();
  #live = 0;
  #version = 0n;

  /** @param discovers False to stay with the configured addresses. */
  constructor(configured: readonly string[], discovers: boolean) {
    this.#configured = configured;
    this.#discovers = discovers;
  }

  /** A node answered at an address. False if the node is served elsewhere already. */
  welcomed(address: string, nodeId: bigint, nodes: readonly Member[]): boolean {
    this.#failing.delete(address);
    const before = this.#answered.get(address);
    if (before !== undefined && before !== nodeId && this.#last.get(before) === address) {
      this.#last.delete(before);
    }
    this.#answered.set(address, nodeId);
    const holder = this.#held.get(nodeId);
    if (this.#discovers && nodeId !== 0n && holder !== undefined && holder !== address) {
      return false;
    }
    if (this.#live === 0 && nodes.length > 0) {
      // Nothing that was known before is known to hold still.
      this.#members.clear();
    }
    this.#live += 1;
    if (nodeId !== 0n) {
      this.#held.set(nodeId, address);
      this.#last.set(nodeId, address);
    }
    for (const node of nodes) {
      if (this.#version === 0n || !(this.#members.has(node.nodeId) || this.#departed.has(node.nodeId))) {
        this.#join(node);
      }
    }
    return true;
  }

  /** The cluster's nodes as of a version of its view. Older versions than one seen before change nothing. */
  topology(version: bigint, nodes: readonly Member[]): void {
    if (version < this.#version || nodes.length === 0) {
      return;
    }
    this.#version = version;
    const gone = new Set(this.#members.keys());
    for (const node of nodes) {
      gone.delete(node.nodeId);
      this.#departed.delete(node.nodeId);
      this.#join(node);
    }
    for (const nodeId of gone) {
      this.#members.delete(nodeId);
      this.#departed.add(nodeId);
    }
  }

  /** A session that was welcomed at an address is over. */
  closed(address: string): void {
    this.#live -= 1;
    const nodeId = this.#answered.get(address);
    if (nodeId !== undefined && this.#held.get(nodeId) === address) {
      this.#held.delete(nodeId);
    }
    if (this.#live === 0) {
      // Whoever answers next may belong to a cluster that counts its views anew.
      this.#version = 0n;
      this.#departed.clear();
    }
  }

  /** No node answered at an address. */
  failed(address: string): void {
    this.#failing.add(address);
  }

  /** True if the address was given, and not told by a node. */
  isConfigured(address: string): boolean {
    return this.#configured.includes(address);
  }

  /** The addresses to keep a session with. */
  wanted(): ReadonlySet<string> {
    if (!this.#discovers) {
      return new Set(this.#configured);
    }
    const told = new Set(this.#members.values());
    const wanted = new Set<string>();
    for (const address of this.#configured) {
      const server = this.#server(this.#answered.get(address), told);
      if (server === undefined || server === address) {
        wanted.add(address);
      }
    }
    for (const [nodeId, address] of this.#members) {
      wanted.add(this.#server(nodeId, told) ?? address);
    }
    return wanted;
  }

  /** The one address at which a node is to be served; undefined if every one may be tried. */
  #server(nodeId: bigint | undefined, told: ReadonlySet<string>): string | undefined {
    if (nodeId === undefined || nodeId === 0n) {
      return undefined;
    }
    const held = this.#held.get(nodeId);
    if (held !== undefined) {
      return held;
    }
    const last = this.#last.get(nodeId);
    const tried = last !== undefined && !this.#failing.has(last) && (told.has(last) || this.isConfigured(last));
    return tried ? last : undefined;
  }

  #join({ nodeId, address }: Member): void {
    if (address !== "") {
      this.#members.set(nodeId, address);
    }
  }
}
