import assert from "node:assert/strict";
import { test } from "node:test";

import { TestKit } from "@callboard/sdk/testing";

import { counter } from "./counter.js";

test("a lost reply does not count twice", async () => {
  const kit = TestKit.of(counter, "u1");
  await assert.rejects(kit.add(5, { idempotencyKey: "order-7", fault: "after-commit" }));
  assert.equal(await kit.add(5, { idempotencyKey: "order-7" }), 5);
  await kit.restart();
  assert.equal(await kit.total(), 5);
});
