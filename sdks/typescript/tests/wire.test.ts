import assert from "node:assert/strict";
import { test } from "node:test";

import { Backoff } from "#sdk/wire/backoff";
import { BatchWriter } from "#sdk/wire/batch";
import { toMillis } from "#sdk/duration";
import { uuidv7 } from "#sdk/ids";

class Sink {
  readonly written: string[] = [];
  congested = false;
  #drained: (() => void) | undefined;

  write(message: Buffer): boolean {
    this.written.push(message.toString());
    return !this.congested;
  }

  once(_event: "drain", listener: () => void): void {
    this.#drained = listener;
  }

  drain(): void {
    this.congested = false;
    this.#drained?.();
  }
}

const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const bytes = (text: string): Uint8Array => Buffer.from(text);

test("durations have units, and nonsense is refused", () => {
  assert.deepEqual([toMillis(250), toMillis("1.5s"), toMillis("2m"), toMillis("1h"), toMillis("7ms")], [
    250, 1_500, 120_000, 3_600_000, 7,
  ]);
  for (const nonsense of [-1, Number.NaN, "2 s", "s", "1d"]) {
    assert.throws(() => toMillis(nonsense as number), RangeError, String(nonsense));
  }
});

test("request ids are UUIDs of version 7 and sort by time", () => {
  const early = uuidv7(1_000);
  const later = uuidv7(1_700_000_000_000);
  for (const id of [early, later, ...Array.from({ length: 1_000 }, () => uuidv7())]) {
    assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  }
  assert.ok(early < later);
  assert.equal(new Set(Array.from({ length: 10_000 }, () => uuidv7(5))).size, 10_000);
});

test("backoff grows to its limit and starts again after a success", () => {
  const backoff = new Backoff(50, 400);
  for (const ceiling of [50, 100, 200, 400, 400, 400]) {
    assert.ok(backoff.next() <= ceiling);
  }
  backoff.reset();
  assert.ok(backoff.next() <= 50);
});

test("messages of one moment leave together, split at the size limit", async () => {
  const sink = new Sink();
  const writer = new BatchWriter(sink);
  writer.maxBytes = 4;
  ["ab", "cd", "ef", "ghijkl", "m"].forEach((text) => writer.push(bytes(text)));
  assert.deepEqual(sink.written, []);
  await tick();
  assert.deepEqual(sink.written, ["abcd", "ef", "ghijkl", "m"]);
});

test("a congested connection is waited for, and what came meanwhile leaves as one message", async () => {
  const sink = new Sink();
  const writer = new BatchWriter(sink);
  sink.congested = true;
  writer.push(bytes("a"));
  await tick();
  writer.push(bytes("b"));
  await tick();
  writer.push(bytes("c"));
  await tick();
  assert.deepEqual(sink.written, ["a"]);
  sink.drain();
  assert.deepEqual(sink.written, ["a", "bc"]);
});
