/** The order alone, in this process; stock and payment are stubs. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { ActorError, Code } from "@callboard/sdk";
import { TestKit } from "@callboard/sdk/testing";

import { order, payment, stock } from "../src/order.js";

const WISH = { customer: "ada", item: "tea", count: 2, price: 3, address: "Main St 1" };
const STEPS = ["reserve", "charge", "send"];

/** An order whose calls are noted by their ids, and refused if their action is named. */
function ordered({ refuses, fault }: { refuses?: string; fault?: "before-commit" | "after-commit" } = {}) {
  const kit = TestKit.of(order, "o1");
  const applied = new Map<string, string>();
  const answers = (action: string) => (_argument: unknown, _target: unknown, { requestId }: { requestId: string }) => {
    if (action === refuses) {
      throw new ActorError(Code.FAILED_PRECONDITION, "REFUSED", `Not to ${action}.`);
    }
    applied.set(requestId, action);
  };
  kit.stub(stock, { reserve: answers("reserve"), release: answers("release"), send: answers("send") });
  kit.stub(payment, { charge: answers("charge"), refund: answers("refund") });
  const run = async () => {
    await kit.place(WISH);
    for (let turn = 0; turn < 20; turn += 1) {
      // Every turn is lost once, before or after its commit, if the test asks for it.
      await kit.deliver(fault ? { fault } : {});
      await kit.clock.advance("100ms");
    }
    return { ...(await kit.status()), applied: [...applied.values()] };
  };
  return { kit, run };
}

test("an order is reserved, paid and sent", async () => {
  assert.deepEqual(await ordered().run(), { status: "done", did: STEPS, why: null, applied: STEPS });
});

for (const [step, did, applied] of [
  ["reserve", [], []],
  ["charge", ["reserve", "undo reserve"], ["reserve", "release"]],
  ["send", ["reserve", "charge", "undo charge", "undo reserve"], ["reserve", "charge", "refund", "release"]],
] as const) {
  test(`an order is taken back, the last step first, if ${step} is refused`, async () => {
    assert.deepEqual(await ordered({ refuses: step }).run(), { status: "compensated", did, why: "REFUSED", applied });
  });
}

test("nothing is done twice if turns are lost", async () => {
  for (const fault of ["before-commit", "after-commit"] as const) {
    const end = await ordered({ fault }).run();
    assert.deepEqual(end, { status: "done", did: STEPS, why: null, applied: STEPS }, fault);
  }
});

test("an order is placed once", async () => {
  const { kit } = ordered();
  await kit.place(WISH);
  await assert.rejects(kit.place(WISH), { reason: "ORDER_PLACED" });
  await assert.rejects(TestKit.of(order, "o2").place({ ...WISH, count: 0 }), { reason: "NO_ORDER" });
});
