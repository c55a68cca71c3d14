import assert from "node:assert/strict";
import { test } from "node:test";

import { TestKit } from "@callboard/sdk/testing";

import { entry } from "../src/entry.js";

test("a value comes back with its version, whatever JSON it is", async () => {
  const key = TestKit.of(entry, "colour");
  assert.deepEqual(await key.get(), { found: false, version: 0 });
  assert.deepEqual(await key.put({ value: { red: 255 } }), { version: 1 });
  assert.deepEqual(await key.put({ value: null }), { version: 2 });
  assert.deepEqual(await key.get(), { found: true, value: null, version: 2 });
});

test("a write on an old version is refused and says which one is current", async () => {
  const key = TestKit.of(entry, "colour");
  await key.put({ value: "red" });
  await key.put({ value: "blue", ifVersion: 1 });
  await assert.rejects(key.put({ value: "green", ifVersion: 1 }), {
    reason: "VERSION_MISMATCH",
    metadata: { version: "2" },
  });
  await assert.rejects(key.delete({ ifVersion: 1 }), { reason: "VERSION_MISMATCH" });
  assert.deepEqual(await key.get(), { found: true, value: "blue", version: 2 });
});

test("a key can be claimed by whoever writes it first", async () => {
  const key = TestKit.of(entry, "lock");
  await key.put({ value: "mine", ifVersion: 0 });
  await assert.rejects(key.put({ value: "yours", ifVersion: 0 }), { reason: "VERSION_MISMATCH" });
});

test("a deleted key is gone, and its versions go on", async () => {
  const key = TestKit.of(entry, "colour");
  await key.put({ value: "red" });
  assert.deepEqual(await key.delete(), { existed: true, version: 2 });
  assert.deepEqual(await key.delete(), { existed: false, version: 2 });
  assert.deepEqual(await key.get(), { found: false, version: 2 });
  assert.deepEqual(await key.put({ value: "blue" }), { version: 3 });
});

test("a retried write is applied once, and everything survives a restart", async () => {
  const key = TestKit.of(entry, "colour");
  await key.put({ value: "red" }, { idempotencyKey: "w1", fault: "after-commit" }).catch(() => undefined);
  assert.deepEqual(await key.put({ value: "red" }, { idempotencyKey: "w1" }), { version: 1 });
  await key.restart();
  assert.deepEqual(await key.get(), { found: true, value: "red", version: 1 });
});

test("nothing is put if no value is given", async () => {
  const key = TestKit.of(entry, "colour");
  await assert.rejects(key.put({} as { value: unknown }), { reason: "VALUE_MISSING" });
});
