/**
 * Running actors: `serve` connects this process to the nodes of a cluster as a host of actor types.
 */
import { randomUUID } from "node:crypto";

import type { AnyActor, Binding } from "../binding.js";
import { bind } from "../binding.js";
import type { Duration } from "../duration.js";
import { toMillis } from "../duration.js";
import type { Logger } from "../logger.js";
import { stderrLogger } from "../logger.js";
import type { ServerOptions } from "../wire/channel.js";
import type { HostMode } from "./fleet.js";
import { Fleet } from "./fleet.js";

/** Settings of a host. */
export interface ServeOptions extends ServerOptions {
  /** The actor types to run: classes, `actorOf(…)`, `defineActor(…)`. */
  readonly actors: readonly AnyActor[];
  /** The system that the types belong to. Default "default". */
  readonly system?: string;
  /**
   * Which nodes to serve. "cluster" (default): every node, found through those in `server`. "sidecar": only the one that
   * `server` names, for a host that runs beside its node.
   */
  readonly mode?: HostMode;
  /** How many turns may run here at a time, shared out evenly among the nodes. Default 1,000. */
  readonly maxConcurrentTurns?: number;
  /** Facts about this host that placement may use. */
  readonly labels?: Readonly<Record<string, string>>;
  /** How long running turns may take once the host is asked to stop. Default 25 s. */
  readonly drainTimeout?: Duration;
  /**
   * Whether SIGTERM and SIGINT stop the host and then end the process with code 0; the second signal ends it at once.
   * Default true. Without it call `stop` yourself.
   */
  readonly handleSignals?: boolean;
  /** Where log lines go. Default: standard error, from "info" on. */
  readonly logger?: Logger;
}

/** A running host. */
export interface Host {
  /** True while a node may send turns. The host reconnects by itself, for ever. */
  readonly connected: boolean;
  /** Settles when the host has ended. */
  readonly closed: Promise<void>;
  /**
   * Leaves in good order: no new turns, the running ones are answered.
   *
   * @param options.permanent True if no successor is expected, so that the server need not keep calls waiting for one.
   */
  stop(options?: { readonly permanent?: boolean }): Promise<void>;
}

const DEFAULT_TURNS = 1_000;
const DEFAULT_DRAIN: Duration = "25s";

/**
 * Runs actors. Waits until a node is there and has taken the types, then gives the running host.
 *
 * @throws CallboardError if the node refuses the types, TypeError if two actors have the same type name or a sidecar host
 * is given several nodes.
 */
export async function serve(options: ServeOptions): Promise<Host> {
  const bindings = new Map<string, Binding>();
  for (const actor of options.actors) {
    const binding = bind(actor);
    if (bindings.has(binding.def.type)) {
      throw new TypeError(`Two actors are both named "${binding.def.type}"; a type has one implementation.`);
    }
    bindings.set(binding.def.type, binding);
  }
  const drainMs = toMillis(options.drainTimeout ?? DEFAULT_DRAIN);
  const fleet = new Fleet({
    who: { instanceId: randomUUID(), labels: options.labels ?? {} },
    system: options.system ?? "default",
    bindings,
    logger: options.logger ?? stderrLogger(),
    server: options,
    mode: options.mode ?? "cluster",
    credits: options.maxConcurrentTurns ?? DEFAULT_TURNS,
    drainMs,
  });
  const forget = options.handleSignals === false ? () => undefined : stopOnSignals(fleet);
  void fleet.closed.then(forget);
  await fleet.ready;
  return {
    get connected() {
      return fleet.connected;
    },
    closed: fleet.closed,
    stop: ({ permanent = false } = {}) => fleet.stop(permanent),
  };
}

/** Conventional exit code of a process that a signal ended: 128 + its number. */
const SIGNALS = { SIGTERM: 143, SIGINT: 130 } as const;

function stopOnSignals(fleet: Fleet): () => void {
  let stopping = false;
  const listeners = Object.entries(SIGNALS).map(([signal, code]) => {
    const listener = (): void => {
      if (stopping) {
        process.exit(code);
      }
      stopping = true;
      void fleet.stop(false).then(() => process.exit(0));
    };
    process.on(signal, listener);
    return [signal, listener] as const;
  });
  return () => {
    if (!stopping) {
      listeners.forEach(([signal, listener]) => process.off(signal, listener));
    }
  };
}
