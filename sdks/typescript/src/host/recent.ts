/**
 * Remembers the last few thousand turn ids, so that a turn that is delivered twice runs once.
 */

const GENERATION = 8_192;

/** A bounded set: at least the last 8,192 members, at most twice as many. */
export class RecentIds {
  #young = new Set<bigint>();
  #old = new Set<bigint>();

  /** Adds an id. False if it is known already. */
  add(id: bigint): boolean {
    if (this.#young.has(id) || this.#old.has(id)) {
      return false;
    }
    if (this.#young.size >= GENERATION) {
      this.#old = this.#young;
      this.#young = new Set();
    }
    this.#young.add(id);
    return true;
  }
}
