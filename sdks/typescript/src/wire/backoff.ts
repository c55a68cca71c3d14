/**
 * Exponential backoff with full jitter: many clients that lost the same server do not come back in step.
 */

/** Delays that grow from `baseMs` to `maxMs`. */
export class Backoff {
  readonly #baseMs: number;
  readonly #maxMs: number;
  #attempt = 0;

  constructor(baseMs: number, maxMs: number) {
    this.#baseMs = baseMs;
    this.#maxMs = maxMs;
  }

  /** The next delay in milliseconds: anything from 0 to the current ceiling. */
  next(): number {
    const ceiling = Math.min(this.#maxMs, this.#baseMs * 2 ** this.#attempt);
    this.#attempt = Math.min(this.#attempt + 1, 30);
    return Math.random() * ceiling;
  }

  /** Starts again from the base, after a success. */
  reset(): void {
    this.#attempt = 0;
  }
}
