/**
 * Sagas: whatever fails and whenever something crashes, all steps are done or none is left.
 */
import assert from "node:assert/strict";
import { test } from "node:test";

import type { Ctx, SagaProgress, SagaTurn } from "@callboard/sdk";
import { ActorError, CallboardError, Code, defineActor, defineSaga, jsonAction } from "@callboard/sdk";
import { TestKit } from "@callboard/sdk/testing";

interface Trip {
  days: number;
  notes: string[];
}

interface Travel {
  saga?: SagaProgress<Trip>;
}

const STEPS = ["flight", "hotel", "car"] as const;
type Step = (typeof STEPS)[number];

const counter = {
  type: "Counter",
  actions: { add: jsonAction<number, number>("add"), take: jsonAction<number, number>("take") },
};

/** What goes wrong, asked for by tests. */
let trouble: (step: Step, undo: boolean) => void = () => undefined;

const travel = defineSaga<Travel, Trip>({
  load: (state) => state.saga,
  save: (state, progress) => {
    state.saga = progress;
  },
  steps: STEPS.map((name) => ({
    name,
    async action(ctx: Ctx<Travel>, data: Trip) {
      data.notes.push(`${name} ${String(await ctx.ref(counter, name).add(data.days))}`);
      ctx.tags[name] = ctx.idempotencyKey.replace(/^[^/]*/, "ID");
      ctx.tell({ target: { system: "", type: "Log", key: name }, action: jsonAction("note"), argument: undefined });
      trouble(name, false);
    },
    async compensate(ctx: Ctx<Travel>, data: Trip) {
      await ctx.ref(counter, name).take(data.days);
      trouble(name, true);
    },
  })),
});

const traveller = defineActor({
  type: "Traveller",
  initial: (): Travel => ({}),
  actions: {
    book: (ctx, days: number) => travel.start(ctx, { days, notes: [] }),
    saga: (ctx, turn: SagaTurn) => travel.turn(ctx, turn),
    resume: (ctx) => travel.resume(ctx),
  },
  reads: { status: (ctx) => travel.status(ctx.state) ?? null },
});

/** Counters that apply each request id once, as durable actors do, and remember what they were asked. */
class Counters {
  readonly totals: Record<string, number> = {};
  readonly ids: string[] = [];
  readonly #outcomes = new Map<string, () => number>();
  /** What goes wrong with a call that was applied, or before it is. */
  fault: (action: "add" | "take", key: string, when: "before" | "after") => void = () => undefined;

  stubs() {
    const apply =
      (action: "add" | "take", sign: number) =>
      (amount: number, { key }: { key: string }, { requestId }: { requestId: string }): number => {
        this.ids.push(requestId.replace(/^[^/]*/, "ID"));
        const id = `${key} ${requestId}`;
        if (!this.#outcomes.has(id)) {
          this.#outcomes.set(id, this.#run(action, key, sign * amount));
          this.fault(action, key, "after");
        }
        return (this.#outcomes.get(id) as () => number)();
      };
    return { add: apply("add", 1), take: apply("take", -1) };
  }

  #run(action: "add" | "take", key: string, amount: number): () => number {
    try {
      this.fault(action, key, "before");
    } catch (error) {
      if (error instanceof ActorError) {
        return () => {
          throw error;
        };
      }
      throw error;
    }
    const total = (this.totals[key] ?? 0) + amount;
    this.totals[key] = total;
    return () => total;
  }
}

function staged(counters = new Counters()) {
  trouble = () => undefined;
  const kit = TestKit.of(traveller, "t");
  kit.stub(counter, counters.stubs());
  return { kit, counters };
}

type Kit = ReturnType<typeof staged>["kit"];
type Fault = "before-commit" | "after-commit" | undefined;

/** Lets everything happen that the coordinator told itself, with a fault in each turn. */
async function settle(kit: Kit, fault: Fault): Promise<string | null> {
  for (let minutes = 0; minutes < 60; minutes += 1) {
    await kit.deliver(fault === undefined ? {} : { fault });
    const status = await kit.status();
    if (status !== "running" && status !== "compensating") {
      return status;
    }
    await kit.clock.advance("1s");
  }
  return kit.status();
}

const refusal = (): never => {
  throw new ActorError(Code.FAILED_PRECONDITION, "SOLD_OUT", "Nothing is left.");
};
const unknown = (): never => {
  throw new CallboardError(Code.UNAVAILABLE, "OUTCOME_UNKNOWN", "Nobody knows.", { retry: "same-id" });
};

/** Throws the first so many times. */
function times(count: number, error: () => never): () => void {
  let left = count;
  return () => {
    if (left > 0) {
      left -= 1;
      error();
    }
  };
}

for (const fault of [undefined, "before-commit", "after-commit"] as const) {
  const crash = fault === undefined ? "without a crash" : `with a crash ${fault.replace("-", " the ")} of each turn`;

  test(`a saga does all of its steps, ${crash}`, async () => {
    const { kit, counters } = staged();
    const id = await kit.book(3);
    assert.equal(await settle(kit, fault), "done");
    assert.deepEqual(counters.totals, { flight: 3, hotel: 3, car: 3 });
    assert.deepEqual(kit.state.saga?.data.notes, ["flight 3", "hotel 3", "car 3"]);
    assert.equal(kit.state.saga?.id, id);
    assert.deepEqual(kit.tags, { flight: "ID/flight", hotel: "ID/hotel", car: "ID/car" });
    const notes = kit.effects.filter(({ action }) => action === "note").map(({ target }) => target.key);
    assert.deepEqual(notes, [...STEPS]);
  });

  STEPS.forEach((step, place) => {
    test(`a refusal of ${step} takes back what came before it, ${crash}`, async () => {
      const { kit, counters } = staged();
      counters.fault = (action, key, when) => {
        if (action === "add" && key === step && when === "before") {
          refusal();
        }
      };
      await kit.book(3);
      assert.equal(await settle(kit, fault), "compensated");
      assert.deepEqual(counters.totals, Object.fromEntries(STEPS.slice(0, place).map((name) => [name, 0])));
      const { error } = kit.state.saga ?? {};
      assert.deepEqual([error?.step, error?.reason], [step, "SOLD_OUT"]);
      assert.deepEqual(Object.keys(kit.tags), STEPS.slice(0, place), "the failed step left no tag");
      const taken = counters.ids.filter((asked) => asked.includes("undo"));
      const backwards = STEPS.slice(0, place).reverse().map((name) => `ID/${name}/undo/0`);
      assert.deepEqual([...new Set(taken)], backwards);
    });

    test(`a step ${step} of unknown outcome is applied once, ${crash}`, async () => {
      const { kit, counters } = staged();
      const lost = times(2, unknown);
      counters.fault = (action, key, when) => {
        if (action === "add" && key === step && when === "after") {
          lost();
        }
      };
      await kit.book(3);
      assert.equal(await settle(kit, fault), "done");
      assert.deepEqual(counters.totals, { flight: 3, hotel: 3, car: 3 });
    });

    test(`a bug in ${step} is taken back with the step itself, ${crash}`, async () => {
      const { kit, counters } = staged();
      trouble = (name, undo) => {
        if (name === step && !undo) {
          throw new Error("boom");
        }
      };
      await kit.book(3);
      assert.equal(await settle(kit, fault), "compensated");
      assert.deepEqual(counters.totals, Object.fromEntries(STEPS.slice(0, place + 1).map((name) => [name, 0])));
      assert.equal(kit.state.saga?.error?.reason, "ACTION_ERROR");
      // Nothing of the tries that failed is left, but what the called actor did, which was taken back.
      assert.deepEqual(Object.keys(kit.tags), STEPS.slice(0, place));
      assert.equal(kit.state.saga?.data.notes.length, place);
      assert.equal(kit.effects.filter(({ action }) => action === "note").length, place);
    });
  });

  test(`a compensation that is refused twice is tried again, ${crash}`, async () => {
    const { kit, counters } = staged();
    const refuse = times(2, refusal);
    counters.fault = (action, key, when) => {
      if (key === "car" && when === "before") {
        refusal();
      }
      if (action === "take" && key === "flight" && when === "before") {
        refuse();
      }
    };
    await kit.book(3);
    assert.equal(await settle(kit, fault), "compensated");
    assert.deepEqual(counters.totals, { flight: 0, hotel: 0 });
    assert.equal(kit.state.saga?.error?.step, "car");
    assert.ok(counters.ids.includes("ID/flight/undo2/0"), counters.ids.join());
  });

  test(`a compensation that cannot succeed ends the saga as failed, until it is resumed, ${crash}`, async () => {
    const { kit, counters } = staged();
    let broken = true;
    counters.fault = (action, key, when) => {
      if (key === "car" && when === "before") {
        refusal();
      }
      if (broken && action === "take" && key === "hotel" && when === "before") {
        refusal();
      }
    };
    await kit.book(3);
    assert.equal(await settle(kit, fault), "failed");
    assert.deepEqual(counters.totals, { flight: 3, hotel: 3 });
    assert.equal(kit.state.saga?.error?.step, "hotel");
    broken = false;
    await kit.resume();
    assert.equal(await settle(kit, fault), "compensated");
    assert.deepEqual(counters.totals, { flight: 0, hotel: 0 });
  });
}

test("a late turn and a repeated one do nothing", async () => {
  const { kit, counters } = staged();
  const saga = await kit.book(1);
  await kit.deliver();
  await kit.saga({ saga, turn: 1 });
  await kit.saga({ saga, turn: 2 });
  await kit.saga({ saga: "another", turn: 3 });
  assert.deepEqual(counters.totals, { flight: 1, hotel: 1, car: 1 });
  assert.equal(await kit.status(), "done");
});

test("a turn that vanished is handed out again by the watch", async () => {
  const { kit, counters } = staged();
  await kit.book(1);
  // The turn is over for its host before its action ends: nothing of it is kept, and its delivery counts.
  const hang = new Promise<never>(() => undefined);
  const stubs = counters.stubs();
  let hung = false;
  kit.stub(counter, {
    ...stubs,
    add: (amount, target, call) => {
      const total = stubs.add(amount, target, call);
      if (!hung) {
        hung = true;
        return hang;
      }
      return total;
    },
  });
  const delivering = kit.deliver();
  await new Promise((resolve) => setImmediate(resolve));
  await kit.clock.advance("31s");
  await delivering;
  assert.equal(await kit.status(), "running");
  assert.equal(kit.state.saga?.step, "flight");
  await kit.clock.advance("1m");
  assert.equal(await settle(kit, undefined), "done");
  assert.deepEqual(counters.totals, { flight: 1, hotel: 1, car: 1 });
  await kit.clock.advance("5m");
  assert.equal(await kit.deliver(), 0, "no watch is left");
});

test("a saga is started once at a time", async () => {
  const { kit } = staged();
  await kit.book(1);
  await assert.rejects(kit.book(1), { reason: "SAGA_RUNNING" });
  await assert.rejects(kit.resume(), { reason: "SAGA_NOT_FAILED" });
  assert.equal(await settle(kit, undefined), "done");
  await kit.book(2);
  assert.equal(await settle(kit, undefined), "done");
  assert.equal(kit.state.saga?.data.days, 2);
});

test("a saga without steps, or with two of one name, is refused", () => {
  const { load, save } = { load: (state: Travel) => state.saga, save: () => undefined };
  assert.throws(() => defineSaga<Travel, Trip>({ load, save, steps: [] }), TypeError);
  const step = { name: "one", action: () => undefined };
  assert.throws(() => defineSaga<Travel, Trip>({ load, save, steps: [step, step] }), TypeError);
});
