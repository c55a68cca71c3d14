import assert from "node:assert/strict";
import { test } from "node:test";

import { ActorError, Code, defineActor, jsonAction } from "@callboard/sdk";
import { TestKit } from "@callboard/sdk/testing";

const audit = { type: "Audit", actions: { note: jsonAction<{ text: string }, number>("note") } };

// An actor that calls its own type names the actions that it calls: its definition cannot refer to itself.
const peer = { type: "Account", actions: { add: jsonAction<number, number>("add") } };

interface Account {
  balance: number;
  lives: number;
}

let initFails = false;

const account = defineActor({
  type: "Account",
  idleTimeout: "10m",
  turnTimeout: "5s",
  initial: (): Account => ({ balance: 0, lives: 0 }),
  init(ctx) {
    if (initFails) {
      throw new ActorError(Code.UNAVAILABLE, "NO_LEDGER", "The ledger is closed.");
    }
    ctx.state.lives += 1;
  },
  actions: {
    add(ctx, amount: number) {
      ctx.state.balance += amount;
      ctx.tags["last"] = String(amount);
      if (ctx.state.balance < 0) {
        throw new ActorError(Code.FAILED_PRECONDITION, "OVERDRAWN", "There is not that much.");
      }
      return ctx.state.balance;
    },
    async transfer(ctx, { to, amount }: { to: string; amount: number }) {
      ctx.state.balance -= amount;
      const other = await ctx.ref(peer, to).add(amount);
      return { own: ctx.state.balance, other, notes: await ctx.ref(audit, "main").note({ text: `to ${to}` }) };
    },
    async dawdle(ctx) {
      const { state } = ctx;
      await late;
      state.balance = 1_000_000;
      ctx.state.balance = 2_000_000;
    },
    async waitForSignal(ctx) {
      await new Promise((_, reject) => ctx.signal.addEventListener("abort", () => reject(ctx.signal.reason as Error)));
    },
    facts(ctx) {
      const { self, caller, metadata, requestId, attempt, action } = ctx;
      return {
        self,
        caller,
        metadata,
        requestId,
        attempt,
        action,
        revision: Number(ctx.fencingToken.revision),
        left: ctx.deadline.getTime() - ctx.now().getTime(),
      };
    },
  },
  reads: {
    balance: (ctx) => ctx.state.balance,
    cheat(ctx) {
      (ctx as { state: unknown }).state = { balance: 1, lives: 1 };
    },
    cheatInPlace(ctx) {
      (ctx.state as Account).balance = 77;
      return ctx.state.balance;
    },
  },
});

let late: Promise<void> = Promise.resolve();

test("an action's changes are committed when it returns and discarded when it throws", async () => {
  const kit = TestKit.of(account, "a");
  assert.equal(await kit.add(5), 5);
  await assert.rejects(kit.add(-9), { name: "ActorError", reason: "OVERDRAWN", code: Code.FAILED_PRECONDITION });
  assert.equal(kit.state.balance, 5);
  assert.deepEqual(kit.tags, { last: "5" });
  assert.equal(await kit.balance(), 5);
});

test("calls inside a turn reach their stand-ins and are kept", async () => {
  const kit = TestKit.of(account, "a");
  kit.stub(account, { add: (amount) => amount + 100 });
  kit.stub(audit, { note: ({ text }) => text.length });
  await kit.add(10);
  assert.deepEqual(await kit.transfer({ to: "b", amount: 4 }), { own: 6, other: 104, notes: 4 });
  assert.deepEqual(kit.calls, [
    { target: { system: "default", type: "Account", key: "b" }, action: "add", argument: 4 },
    { target: { system: "default", type: "Audit", key: "main" }, action: "note", argument: { text: "to b" } },
  ]);
});

test("an error of a called actor that is not caught fails the turn with its own reason", async () => {
  const kit = TestKit.of(account, "a");
  await kit.add(10);
  kit.stub(account, {
    add() {
      throw new ActorError(Code.NOT_FOUND, "NO_SUCH_ACCOUNT", "Nobody is called that.");
    },
  });
  await assert.rejects(kit.transfer({ to: "b", amount: 4 }), { reason: "NO_SUCH_ACCOUNT", fromActor: true });
  assert.equal(kit.state.balance, 10);
});

test("a call to an actor without a stand-in says what is missing", async () => {
  const kit = TestKit.of(account, "a");
  await assert.rejects(kit.transfer({ to: "b", amount: 1 }), { reason: "UNKNOWN_TYPE", message: /kit\.stub/ });
});

test("a repeated idempotency key is applied once, and not taken for another call", async () => {
  const kit = TestKit.of(account, "a");
  assert.equal(await kit.add(5, { idempotencyKey: "k" }), 5);
  await kit.add(1);
  assert.equal(await kit.add(5, { idempotencyKey: "k" }), 5);
  assert.equal(kit.state.balance, 6);
  await assert.rejects(kit.add(6, { idempotencyKey: "k" }), { reason: "REQUEST_ID_REUSED" });
});

test("a stored error is the answer to a repeated key as well", async () => {
  const kit = TestKit.of(account, "a");
  await assert.rejects(kit.add(-1, { idempotencyKey: "k" }), { reason: "OVERDRAWN" });
  await kit.add(5);
  await assert.rejects(kit.add(-1, { idempotencyKey: "k" }), { reason: "OVERDRAWN" });
});

test("a fault before the commit runs the turn again on the same state", async () => {
  const kit = TestKit.of(account, "a");
  kit.stub(account, { add: () => 0 });
  kit.stub(audit, { note: () => 0 });
  await kit.add(10);
  const reply = await kit.transfer({ to: "b", amount: 3 }, { fault: "before-commit" });
  assert.equal(reply.own, 7);
  assert.equal(kit.calls.length, 4);
  assert.equal((await kit.facts(undefined, { attempt: 1, fault: "before-commit" })).attempt, 2);
});

test("a fault after the commit loses the reply and nothing else", async () => {
  const kit = TestKit.of(account, "a");
  await assert.rejects(kit.add(5, { idempotencyKey: "k", fault: "after-commit" }), {
    reason: "OUTCOME_UNKNOWN",
    retry: "same-id",
  });
  assert.equal(await kit.add(5, { idempotencyKey: "k", attempt: 2 }), 5);
});

test("init runs once in each life, and a failing one is tried again by the next call", async () => {
  const kit = TestKit.of(account, "a");
  initFails = true;
  await assert.rejects(kit.add(1), { reason: "INIT_FAILED", retry: "safe" });
  initFails = false;
  assert.equal(await kit.add(1), 1);
  await kit.add(1);
  assert.equal(kit.state.lives, 1);
  await kit.restart();
  assert.equal(kit.active, false);
  assert.equal(await kit.add(1), 3);
  assert.equal(kit.state.lives, 2);
});

test("an actor is put away once it was idle long enough", async () => {
  const kit = TestKit.of(account, "a", { now: new Date(0) });
  await kit.add(1);
  await kit.clock.advance("9m");
  await kit.add(1);
  await kit.clock.advance("9m");
  assert.equal(kit.active, true);
  await kit.clock.advance("1m");
  assert.equal(kit.active, false);
});

test("a volatile actor forgets when it is put away", async () => {
  const session = defineActor({
    type: "Session",
    durability: "volatile",
    initial: () => ({ hits: 0 }),
    actions: { hit: (ctx) => (ctx.state.hits += 1) },
  });
  const kit = TestKit.of(session, "s");
  await kit.hit();
  assert.equal(await kit.hit(), 2);
  await kit.restart();
  assert.equal(await kit.hit(), 1);
});

test("a turn that takes too long is over, whatever its code does later", async () => {
  const kit = TestKit.of(account, "a");
  await kit.add(1);
  let release: () => void = () => undefined;
  late = new Promise((resolve) => {
    release = resolve;
  });
  const dawdling = kit.dawdle();
  const refused = assert.rejects(dawdling, { reason: "DEADLINE_EXCEEDED" });
  await kit.clock.advance("1s");
  await kit.clock.advance("5s");
  await refused;
  release();
  assert.equal(await kit.balance(), 1);
});

test("an aborted signal reaches the action", async () => {
  const kit = TestKit.of(account, "a");
  await kit.add(1);
  const abort = new AbortController();
  const waiting = kit.waitForSignal(undefined, { signal: abort.signal });
  const refused = assert.rejects(waiting, { reason: "CANCELLED" });
  await kit.clock.advance(0);
  abort.abort();
  await refused;
});

test("a reading action cannot change anything", async () => {
  const kit = TestKit.of(account, "a");
  await kit.add(1);
  await assert.rejects(kit.cheat(), { reason: "READ_ONLY_ACTION" });
  assert.equal(await kit.cheatInPlace(), 77);
  assert.equal(await kit.balance(), 1);
  assert.equal(kit.revision, 2n);
});

test("the context tells the facts of the call", async () => {
  const kit = TestKit.of(account, "a", { system: "shop" });
  const facts = await kit.facts(undefined, {
    caller: { type: "Audit", key: "main" },
    metadata: { traceparent: "00-ab" },
    idempotencyKey: "k",
    attempt: 3,
    timeout: "2s",
  });
  assert.deepEqual(facts, {
    self: { system: "shop", type: "Account", key: "a" },
    caller: { system: "shop", type: "Audit", key: "main" },
    metadata: { traceparent: "00-ab" },
    requestId: "k",
    attempt: 3,
    action: "facts",
    revision: 2,
    left: 2_000,
  });
});

test("an action whose name the kit uses itself is reached through actions", async () => {
  const clock = defineActor({
    type: "Clock",
    initial: () => 0,
    actions: { restart: (ctx, at: number) => (ctx.state = at) },
  });
  const kit = TestKit.of(clock, "c");
  await kit.actions.restart(7);
  assert.equal(kit.state, 7);
});

test("a name that is both an action and a read is refused", () => {
  assert.throws(
    () => defineActor({ type: "T", initial: () => 0, actions: { get: () => 0 }, reads: { get: () => 0 } }),
    /defines "get" twice/,
  );
});
