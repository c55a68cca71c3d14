/**
 * Request ids: UUID version 7, so that ids made later sort later and stay close together in the server's store.
 */
import { randomFillSync } from "node:crypto";

const POOL_BYTES = 4_000;
const RANDOM_BYTES = 10;
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

const pool = new Uint8Array(POOL_BYTES);
let used = POOL_BYTES;

/** Makes a UUID version 7 for the given time in Unix milliseconds. */
export function uuidv7(nowMs: number = Date.now()): string {
  if (used + RANDOM_BYTES > POOL_BYTES) {
    randomFillSync(pool);
    used = 0;
  }
  const hex = (at: number): string => HEX[pool[used + at] ?? 0] as string;
  const time = nowMs.toString(16).padStart(12, "0");
  const version = (((pool[used] ?? 0) & 0x0f) | 0x70).toString(16);
  const variant = (((pool[used + 2] ?? 0) & 0x3f) | 0x80).toString(16);
  const id =
    `${time.slice(0, 8)}-${time.slice(8, 12)}-${version}${hex(1)}-${variant}${hex(3)}-` +
    `${hex(4)}${hex(5)}${hex(6)}${hex(7)}${hex(8)}${hex(9)}`;
  used += RANDOM_BYTES;
  return id;
}
