/**
 * What turns set going, in the test kit: effects, broadcasts, next actors, timers.
 */
import assert from "node:assert/strict";
import { test } from "node:test";

import { ActorError, Code, defineActor, defineChannel, jsonAction, to } from "@callboard/sdk";
import { TestKit } from "@callboard/sdk/testing";

const audit = { type: "Audit", actions: { overflow: jsonAction<{ id: string }, void>("overflow") } };
const next = { type: "Next", actions: { grow: jsonAction<number, string>("grow") } };
const rooms = defineChannel<{ text: string }>("rooms");

interface Shelf {
  total: number;
  ticks: number;
}

const shelf = defineActor({
  type: "Shelf",
  idleTimeout: "5m",
  timers: { tick: "10s", tock: "25s" },
  channels: { rooms: "heard" },
  initial: (): Shelf => ({ total: 0, ticks: 0 }),
  actions: {
    add(ctx, amount: number) {
      ctx.state.total += amount;
      ctx.tell(to(audit, "main").overflow({ id: ctx.self.key }));
      ctx.tell(to(audit, "late").overflow({ id: "1" }), { delay: "5s", metadata: { why: "late" } });
      ctx.tell(to(audit, "due").overflow({ id: "2" }), { at: new Date(5_000) });
      ctx.broadcast(rooms, { text: "added" });
      if (amount < 0) {
        throw new ActorError(Code.INVALID_ARGUMENT, "NEGATIVE", "No.");
      }
      return ctx.state.total;
    },
    later(ctx) {
      ctx.tell({ target: ctx.self, action: jsonAction<number, void>("add"), argument: 7 }, { delay: "12s" });
    },
    piped: (ctx, amount: number) => ctx.pipe(to(next, "n").grow(amount + 1)),
    forwarded: (ctx, _amount: number) => ctx.forward(to(next, "n").grow),
    leave: (ctx) => ctx.deactivate(),
    heard: () => undefined,
    tick(ctx) {
      ctx.state.ticks += 1;
      ctx.tags["timer"] = ctx.metadata["callboard-timer"] ?? "";
    },
    tock(ctx) {
      ctx.state.ticks += 100;
    },
  },
  reads: {
    sneak(ctx) {
      (ctx as unknown as { tell(call: unknown): void }).tell(to(audit).overflow({ id: "no" }));
    },
  },
});

const actor = (type: string, key: string) => ({ system: "default", type, key });

test("what a turn told and broadcast is recorded when it commits", async () => {
  const kit = TestKit.of(shelf, "s");
  await kit.add(1);
  assert.deepEqual(kit.effects, [
    { target: actor("Audit", "main"), action: "overflow", argument: { id: "s" } },
    {
      target: actor("Audit", "late"),
      action: "overflow",
      argument: { id: "1" },
      delayMs: 5_000,
      metadata: { why: "late" },
    },
    { target: actor("Audit", "due"), action: "overflow", argument: { id: "2" }, at: new Date(5_000) },
  ]);
  assert.deepEqual(kit.broadcasts, [{ channel: "rooms", message: { text: "added" } }]);
  kit.clear();
  await assert.rejects(kit.add(-1), { reason: "NEGATIVE" });
  assert.deepEqual([kit.effects, kit.broadcasts], [[], []]);
  await kit.add(1, { fault: "before-commit" });
  assert.equal(kit.effects.length, 3, "a turn that is run again tells once");
});

test("a pipe and a forward are recorded, and answered by a stand-in", async () => {
  const kit = TestKit.of(shelf, "s");
  assert.equal(await kit.piped(1), undefined);
  assert.deepEqual(kit.next, { kind: "pipe", target: actor("Next", "n"), action: "grow", argument: 2 });
  kit.stub(next, { grow: (amount) => "x".repeat(amount) });
  const piped: string = await kit.piped(1);
  assert.equal(piped, "xx");
  assert.equal(await kit.forwarded(4), "xxxx");
  assert.deepEqual(kit.next, { kind: "forward", target: actor("Next", "n"), action: "grow" });
  await kit.add(1);
  assert.equal(kit.next, undefined);
});

test("a reading action sets nothing going", async () => {
  const kit = TestKit.of(shelf, "s");
  await assert.rejects(kit.sneak(), { reason: "READ_ONLY_ACTION" });
  assert.deepEqual(kit.effects, []);
});

test("timers fire in the order of time while the actor is in memory", async () => {
  const kit = TestKit.of(shelf, "s");
  await kit.clock.advance("1h");
  assert.equal(kit.state.ticks, 0, "it was never activated");
  await kit.add(1);
  await kit.clock.advance("9s");
  assert.equal(kit.state.ticks, 0);
  await kit.clock.advance("17s");
  assert.equal(kit.state.ticks, 102);
  assert.equal(kit.tags["timer"], "tick");
  await kit.clock.advance("1h");
  assert.equal(kit.active, false, "timers keep nobody in memory");
  const { ticks } = kit.state;
  assert.equal(ticks % 100, 30, "none after the idle timeout of 5 minutes");
  await kit.clock.advance("1h");
  assert.equal(kit.state.ticks, ticks);
});

test("the only actor of a type with timers stays in memory", async () => {
  const clock = defineActor({
    type: "Clock",
    kind: "named",
    timers: { tick: "1m" },
    initial: () => ({ ticks: 0 }),
    actions: {
      tick(ctx) {
        ctx.state.ticks += 1;
      },
    },
  });
  const kit = TestKit.of(clock);
  await kit.clock.advance("1h");
  assert.equal(kit.state.ticks, 60);
  assert.equal(kit.active, true);
});

test("what an actor told itself for later comes when it is due", async () => {
  const kit = TestKit.of(shelf, "s");
  await kit.later();
  assert.equal(await kit.deliver(), 0);
  await kit.clock.advance("11s");
  assert.equal(kit.state.total, 0);
  await kit.clock.advance("1s");
  assert.equal(kit.state.total, 7);
});

test("an actor that asks for it leaves memory", async () => {
  const kit = TestKit.of(shelf, "s");
  await kit.add(1);
  assert.equal(kit.active, true);
  await kit.leave();
  assert.equal(kit.active, false);
  assert.equal(await kit.add(1), 2);
});

test("a timer or a channel of an action that there is not is refused", () => {
  const untyped = defineActor as (spec: unknown) => unknown;
  const spec = { type: "T", initial: () => 0, actions: { tick: () => undefined } };
  assert.throws(() => untyped({ ...spec, timers: { tock: "1s" } }), /a timer names the action "tock"/);
  assert.throws(() => untyped({ ...spec, channels: { news: {} } }), /"news" names the action "receive"/);
});
