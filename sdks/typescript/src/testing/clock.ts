/**
 * The time in tests: it stands still until the test moves it.
 */
import type { Duration } from "../duration.js";
import { toMillis } from "../duration.js";

/** What happens while the time moves. @internal */
export type Passage = (untilMs: number, setNow: (nowMs: number) => void) => Promise<void>;

/** A clock that only the test moves. */
export class VirtualClock {
  #nowMs: number;
  readonly #pass: Passage;

  constructor(start: Date, pass: Passage) {
    this.#nowMs = start.getTime();
    this.#pass = pass;
  }

  /** The time that actors see as `ctx.now()`. */
  now(): Date {
    return new Date(this.#nowMs);
  }

  /**
   * Lets time pass: timers and what the actor told itself for later run in the order of time, idle actors are
   * deactivated, turns over their time limit are aborted.
   */
  async advance(duration: Duration): Promise<void> {
    await this.#pass(this.#nowMs + toMillis(duration), (nowMs) => {
      this.#nowMs = nowMs;
    });
    // Whatever the move ended gets the chance to say so before the test goes on.
    await new Promise((resolve) => setImmediate(resolve));
  }
}
