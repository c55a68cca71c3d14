/**
 * Durations as users write them: a number of milliseconds, or text such as "250ms", "2s", "5m", "1h".
 */

/** A span of time: milliseconds as a number, or a number with a unit. */
export type Duration = number | `${number}${"ms" | "s" | "m" | "h"}`;

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 } as const;
const PATTERN = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/;

/**
 * Turns a duration into whole milliseconds.
 *
 * @throws RangeError if it is negative, not finite, or not of the documented form.
 */
export function toMillis(duration: Duration): number {
  if (typeof duration === "number") {
    if (!Number.isFinite(duration) || duration < 0) {
      throw new RangeError(`A duration must be a finite number >= 0, not ${duration}.`);
    }
    return Math.round(duration);
  }
  const match = PATTERN.exec(duration);
  if (match === null) {
    throw new RangeError(`"${duration}" is not a duration; write 1500 or "1.5s" (ms, s, m, h).`);
  }
  return Math.round(Number(match[1]) * UNITS[match[2] as keyof typeof UNITS]);
}
