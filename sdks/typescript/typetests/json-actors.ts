/**
 * What the types of JSON actors allow, and what they must refuse.
 */
import type { SagaProgress, SagaTurn } from "@callboard/sdk";
import { connect, defineActor, defineChannel, defineSaga, jsonAction, to } from "@callboard/sdk";
import { TestKit } from "@callboard/sdk/testing";

interface Basket {
  items: Record<string, number>;
}

export const basket = defineActor({
  type: "Basket",
  idleTimeout: "5m",
  initial: (): Basket => ({ items: {} }),
  init(ctx) {
    ctx.state.items["welcome-gift"] = 1;
  },
  actions: {
    put(ctx, { item, count }: { item: string; count: number }) {
      ctx.state.items[item] = (ctx.state.items[item] ?? 0) + count;
      return ctx.state.items[item];
    },
    async clear(ctx) {
      // @ts-expect-error the state is what initial() gives
      ctx.state.things = {};
      ctx.state = { items: {} };
    },
  },
  reads: {
    count(ctx, item: string) {
      // @ts-expect-error a reading action cannot change its state
      ctx.state.items[item] = 3;
      return ctx.state.items[item] ?? 0;
    },
  },
});

// @ts-expect-error a type needs a name
defineActor({ initial: () => 0, actions: {} });

// @ts-expect-error a duration has a unit
defineActor({ type: "T", idleTimeout: "5 minutes", initial: () => 0, actions: {} });

export async function callers(): Promise<void> {
  const client = connect();
  const ref = client.ref(basket, "u1");
  const total: number = await ref.put({ item: "apple", count: 2 });
  const count: number = await ref.count("apple", { timeout: 500 });
  void [total, count];
  await ref.clear();
  // @ts-expect-error the argument is missing
  await ref.put();
  // @ts-expect-error a count is a number
  await ref.put({ item: "apple", count: "2" });
  // @ts-expect-error a reply of type number is no text
  const text: string = await ref.count("apple");
  void text;
  const { state } = await client.getState(basket, "u1");
  const items: Record<string, number> | undefined = state?.items;
  void items;
  // Without the actor's code: the types are said by hand.
  const contract = { type: "Basket", actions: { count: jsonAction<string, number>("count", { readOnly: true }) } };
  const other: number = await client.ref(contract, "u1").count("pear");
  void other;
}

export async function kits(): Promise<void> {
  const kit = TestKit.of(basket, "u1");
  const total: number = await kit.put({ item: "apple", count: 1 }, { caller: { type: "Shop", key: "s" } });
  const items: Record<string, number> = kit.state.items;
  void [total, items];
  kit.stub(basket, { count: (item) => item.length });
  // @ts-expect-error what is counted is a number
  kit.stub(basket, { count: () => "many" });
  // @ts-expect-error there is no such fault
  await kit.clear(undefined, { fault: "never" });
}

const rooms = defineChannel<{ text: string }>("rooms");
const next = { type: "Next", actions: { grow: jsonAction<number, string>("grow") } };

export const talker = defineActor({
  type: "Talker",
  timers: { tick: "5s" },
  channels: { rooms: "heard", news: { action: "heard", deliver: "every" }, alerts: {} },
  history: { revisions: 10, age: "1h" },
  initial: () => ({ total: 0 }),
  actions: {
    tick(ctx) {
      ctx.tell(to(basket, "b").put({ item: "apple", count: 1 }), { delay: "5s" });
      ctx.tell(to(basket, "b").clear(), { at: new Date() });
      // @ts-expect-error the argument is missing
      ctx.tell(to(basket, "b").put());
      // @ts-expect-error a count is a number
      ctx.tell(to(basket, "b").put({ item: "apple", count: "1" }));
      // @ts-expect-error it is told after a delay or at a time
      ctx.tell(to(basket, "b").clear(), { delay: "5s", at: new Date() });
      // @ts-expect-error a call that was made is not one that is described
      ctx.tell(ctx.ref(basket, "b").clear());
      ctx.broadcast(rooms, { text: "hello" });
      ctx.broadcast("anything", [1, 2]);
      // @ts-expect-error the channel says something else
      ctx.broadcast(rooms, { words: "hello" });
    },
    heard(ctx, message: { text: string }) {
      ctx.state.total += message.text.length;
    },
    receive: () => undefined,
    piped: (ctx, amount: number) => (amount > 3 ? ctx.pipe(to(next, "n").grow(amount)) : "small"),
    forwarded: (ctx, _amount: number) => ctx.forward(to(next, "n").grow),
    async later(ctx, _amount: number) {
      return ctx.forward(to(next, "n").grow);
    },
  },
  reads: {
    sneak(ctx) {
      // @ts-expect-error a reading action sets nothing going
      ctx.tell(to(basket, "b").clear());
    },
  },
});

defineActor({
  type: "Pool",
  pooled: { min: 1, max: 4 },
  actions: { work: (_ctx, amount: number) => amount },
});

defineActor({
  type: "T",
  // @ts-expect-error there is no such action
  timers: { tock: "5s" },
  initial: () => 0,
  actions: { tick: () => undefined },
});

defineActor({
  type: "T",
  // @ts-expect-error there is no such action
  channels: { rooms: "heart" },
  initial: () => 0,
  actions: { heard: () => undefined },
});

defineActor({
  type: "T",
  initial: () => 0,
  actions: {
    // @ts-expect-error the next actor takes a number
    forwarded: (ctx, _text: string) => ctx.forward(to(next, "n").grow),
  },
});

interface Trip {
  saga?: SagaProgress<{ days: number }>;
}

const trip = defineSaga<Trip, { days: number }>({
  load: (state) => state.saga,
  save(state, progress) {
    state.saga = progress;
  },
  steps: [
    {
      name: "flight",
      async action(ctx, data) {
        data.days += await ctx.ref(basket, "b").count("days");
      },
      // @ts-expect-error the data has days
      compensate: (_ctx, data) => ({ nights: data.days }),
    },
  ],
});

export const traveller = defineActor({
  type: "Traveller",
  initial: (): Trip => ({}),
  actions: {
    book: (ctx, days: number) => trip.start(ctx, { days }),
    saga: (ctx, turn: SagaTurn) => trip.turn(ctx, turn),
  },
  reads: { status: (ctx) => trip.status(ctx.state) },
});

export async function talkers(): Promise<void> {
  const client = connect();
  const ref = client.ref(talker, "t");
  const grown: string = await ref.piped(5);
  const forwarded: string = await ref.forwarded(5);
  const later: string = await ref.later(5);
  // @ts-expect-error the next actor answers text
  const wrong: number = await ref.forwarded(5);
  void [grown, forwarded, later, wrong];
  await client.send(ref, talker.actions.piped, 4, { delay: "1m" });
  await client.publish(rooms, { text: "hello" });
  // @ts-expect-error the channel says something else
  await client.publish(rooms, 3);
  for await (const item of client.subscribe(rooms)) {
    if (item.kind === "message") {
      const text: string = item.message.text;
      void text;
    } else {
      const missed: number = item.messages;
      void missed;
    }
  }
  await client.schedules.create({ call: to(talker, "t").piped(4), cron: "@daily", timeZone: "Europe/Berlin" });
  // @ts-expect-error a schedule has one kind of time
  await client.schedules.create({ call: to(talker, "t").piped(4), cron: "@daily", every: "1h" });
  // @ts-expect-error a schedule has a time
  await client.schedules.create({ call: to(talker, "t").piped(4) });
  const { state } = await client.actors.stateAt(talker, "t", 3);
  const total: number | undefined = state?.total;
  void total;
}
