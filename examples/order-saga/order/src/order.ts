/**
 * An order: a saga over the stock of an item, which a Python host runs, and the purse of a customer, which a Java host runs.
 * Either the goods are reserved, paid and sent, or nothing of it remains.
 */
import { ActorError, Code, defineActor, defineSaga, jsonAction, type SagaProgress, type SagaTurn } from "@callboard/sdk";

/** The stock of one item; see ../../stock. */
export const stock = {
  type: "Stock",
  actions: {
    reserve: jsonAction<{ order: string; count: number }, void>("reserve"),
    release: jsonAction<{ order: string }, void>("release"),
    send: jsonAction<{ order: string; address: string }, void>("send"),
  },
};

/** The purse of one customer; see ../../payment. */
export const payment = {
  type: "Payment",
  actions: {
    charge: jsonAction<{ order: string; amount: number }, void>("charge"),
    refund: jsonAction<{ order: string }, void>("refund"),
  },
};

/** What a customer wants. */
export interface Wish {
  customer: string;
  item: string;
  count: number;
  price: number;
  address: string;
}

/** What the steps work on. */
interface OrderData extends Wish {
  /** What was done, the newest last: the names of steps, with "undo" for those that were taken back. */
  did: string[];
}

interface OrderState {
  saga?: SagaProgress<OrderData>;
}

const saga = defineSaga<OrderState, OrderData>({
  load: (state) => state.saga,
  save(state, progress) {
    state.saga = progress;
  },
  steps: [
    {
      name: "reserve",
      async action(ctx, data) {
        await ctx.ref(stock, data.item).reserve({ order: ctx.self.key, count: data.count });
        data.did.push("reserve");
      },
      async compensate(ctx, data) {
        await ctx.ref(stock, data.item).release({ order: ctx.self.key });
        data.did.push("undo reserve");
      },
    },
    {
      name: "charge",
      async action(ctx, data) {
        await ctx.ref(payment, data.customer).charge({ order: ctx.self.key, amount: data.count * data.price });
        data.did.push("charge");
      },
      async compensate(ctx, data) {
        await ctx.ref(payment, data.customer).refund({ order: ctx.self.key });
        data.did.push("undo charge");
      },
    },
    {
      // Goods that are on their way cannot be called back, so this step is the last one.
      name: "send",
      async action(ctx, data) {
        await ctx.ref(stock, data.item).send({ order: ctx.self.key, address: data.address });
        data.did.push("send");
      },
    },
  ],
});

export const order = defineActor({
  type: "Order",
  initial: (): OrderState => ({}),
  actions: {
    /** Takes the order. Returns when it is certain that it will be carried out, or taken back. */
    place(ctx, wish: Wish) {
      if (!(Number.isInteger(wish.count) && wish.count > 0 && wish.price >= 0)) {
        throw new ActorError(Code.INVALID_ARGUMENT, "NO_ORDER", "Order one or more of an item, at a price.");
      }
      if (ctx.state.saga !== undefined) {
        throw new ActorError(Code.ALREADY_EXISTS, "ORDER_PLACED", "This order is placed. Use another key for another one.");
      }
      saga.start(ctx, { ...wish, did: [] });
    },

    /** Runs one step; only the order itself calls it. */
    saga: (ctx, turn: SagaTurn) => saga.turn(ctx, turn),
  },
  reads: {
    /** How the order stands, what was done for it, and why it was taken back if it was. */
    status(ctx) {
      const progress = ctx.state.saga;
      return { status: progress?.status ?? "new", did: progress?.data.did ?? [], why: progress?.error?.reason ?? null };
    },
  },
});
