/**
 * Which node a client sends to. Any node takes any call, so a client stays with one until that one cannot answer, and then
 * goes on to the next. Clients begin at different nodes, which spreads them.
 */
import type { CallboardError } from "../errors.js";
import type { ServerOptions } from "../wire/channel.js";
import { serverAddresses } from "../wire/channel.js";
import { CONNECTION_LOST } from "./status.js";

/** Reasons that are the node's own: another one may well answer. */
const LEAVES: ReadonlySet<string> = new Set([
  CONNECTION_LOST,
  "SHUTTING_DOWN",
  "LEASE_LOST",
  "NOT_OWNER",
  "STORE_UNAVAILABLE",
]);

/** The nodes that a client knows, and the one that it uses. */
export class Nodes<T> {
  readonly #addresses: readonly string[];
  readonly #open: (address: string, failover: boolean) => T;
  readonly #opened = new Map<string, T>();
  #current: number;

  /** @param open Opens the connection to a node, when it is first needed. */
  constructor(options: ServerOptions, open: (address: string, failover: boolean) => T) {
    this.#addresses = serverAddresses(options);
    this.#open = open;
    this.#current = Math.floor(Math.random() * this.#addresses.length);
  }

  /** The address of the node in use. */
  get address(): string {
    return this.#addresses[this.#current] as string;
  }

  /** The connection to the node in use; a new one if `usable` refuses the present one. */
  connection(usable: (opened: T) => boolean = () => true): T {
    const { address } = this;
    const opened = this.#opened.get(address);
    if (opened !== undefined && usable(opened)) {
      return opened;
    }
    const fresh = this.#open(address, this.#addresses.length > 1);
    this.#opened.set(address, fresh);
    return fresh;
  }

  /** Goes on to the next node if `error`, which came from `address`, is the node's own. */
  failed(address: string, error: CallboardError): void {
    // Many calls fail together when a node goes; only the first of them moves the client.
    if (address === this.address && !error.fromActor && LEAVES.has(error.reason)) {
      this.#current = (this.#current + 1) % this.#addresses.length;
    }
  }

  /** Every connection that was opened, for closing. */
  get opened(): Iterable<T> {
    return this.#opened.values();
  }
}
