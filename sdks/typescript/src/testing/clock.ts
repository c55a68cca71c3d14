/**
 * The time in tests: it stands still until the test moves it.
 */
import type { Duration } from "../duration.js";
import { toMillis } from "../duration.js";

/** A clock that only the test moves. */
export class VirtualClock {
  #nowMs: number;
  readonly #moved: () => void;

  constructor(start: Date, moved: () => void) {
    this.#nowMs = start.getTime();
    this.#moved = moved;
  }

  /** The time that actors see as `ctx.now()`. */
  now(): Date {
    return new Date(this.#nowMs);
  }

  /** Lets time pass: idle actors are deactivated, turns over their time limit are aborted. */
  async advance(duration: Duration): Promise<void> {
    this.#nowMs += toMillis(duration);
    this.#moved();
    // Whatever the move ended gets the chance to say so before the test goes on.
    await new Promise((resolve) => setImmediate(resolve));
  }
}
