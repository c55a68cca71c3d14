/**
 * What the types of JSON actors allow, and what they must refuse.
 */
import { connect, defineActor, jsonAction } from "@callboard/sdk";
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
