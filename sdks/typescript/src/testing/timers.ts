/**
 * The timers of the actor under test.
 */
import type { ActorDef, AnyAction } from "../definition.js";
import { toMillis } from "../duration.js";

interface Timer {
  readonly action: AnyAction;
  readonly intervalMs: number;
  dueMs: number;
}

/** Timers, from an activation on. */
export class KitTimers {
  readonly #timers: Timer[];

  constructor({ actions, settings }: ActorDef) {
    this.#timers = Object.entries(settings?.timers ?? {}).map(([name, interval]) => ({
      action: actions[name] as AnyAction,
      intervalMs: toMillis(interval ?? 0),
      dueMs: Infinity,
    }));
  }

  /** True if the type has no timers. */
  get none(): boolean {
    return this.#timers.length === 0;
  }

  /** Begins all intervals anew. */
  arm(nowMs: number): void {
    for (const timer of this.#timers) {
      timer.dueMs = nowMs + timer.intervalMs;
    }
  }

  /** When the first one is due. */
  get dueMs(): number {
    return Math.min(...this.#timers.map(({ dueMs }) => dueMs));
  }

  /** The action of the first one, which is due again after now: what it is late by counts as one. */
  fire(nowMs: number): AnyAction {
    const first = this.#timers.reduce((a, b) => (b.dueMs < a.dueMs ? b : a));
    const late = Math.floor((nowMs - first.dueMs) / first.intervalMs);
    first.dueMs += (late + 1) * first.intervalMs;
    return first.action;
  }
}
