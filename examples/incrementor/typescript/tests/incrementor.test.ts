import assert from "node:assert/strict";
import { test } from "node:test";

import { TestKit } from "@callboard/sdk/testing";

import { Incrementor } from "../src/incrementor.js";

test("adding answers the running total and the language", async () => {
  const counter = TestKit.of(Incrementor, "u1");
  await counter.add({ amount: 40n });
  const reply = await counter.add({ amount: 2n });
  assert.equal(reply.total, 42n);
  assert.equal(reply.language, "typescript");
  assert.equal(counter.state.additions, 2n);
});

test("a repeated call with the same key is applied once", async () => {
  const counter = TestKit.of(Incrementor, "u1");
  await counter.add({ amount: 5n }, { idempotencyKey: "order-1", fault: "after-commit" }).catch(() => undefined);
  const reply = await counter.add({ amount: 5n }, { idempotencyKey: "order-1", attempt: 2 });
  assert.equal(reply.total, 5n);
  assert.equal(counter.state.total, 5n);
});

test("the total survives a restart, which begins another life", async () => {
  const counter = TestKit.of(Incrementor, "u1");
  await counter.cast({ amount: 7n });
  await counter.restart();
  assert.equal((await counter.total()).total, 7n);
  assert.equal(counter.state.lives, 2n);
});

test("an idle counter is put away and comes back", async () => {
  const counter = TestKit.of(Incrementor, "u1");
  await counter.add({ amount: 1n });
  await counter.clock.advance("1h");
  assert.equal(counter.active, false);
  await counter.add({ amount: 1n });
  assert.equal(counter.state.total, 2n);
  assert.equal(counter.state.lives, 2n);
});

test("a stopped counter refuses additions and keeps its total", async () => {
  const counter = TestKit.of(Incrementor, "u1");
  await counter.add({ amount: 3n });
  assert.equal((await counter.stop()).total, 3n);
  await assert.rejects(counter.add({ amount: 1n }), { reason: "COUNTER_STOPPED", fromActor: true });
  await assert.rejects(counter.cast({ amount: 1n }), { reason: "COUNTER_STOPPED" });
  assert.equal((await counter.total()).total, 3n);
});
