import { ActorError, Code, defineActor } from "@callboard/sdk";

export const counter = defineActor({
  type: "Counter",
  initial: () => ({ total: 0 }),
  actions: {
    add(ctx, amount: number) {
      if (amount < 0) {
        throw new ActorError(Code.INVALID_ARGUMENT, "NEGATIVE_AMOUNT", "A counter only counts up.");
      }
      ctx.state.total += amount;
      return ctx.state.total;
    },
  },
  reads: {
    total: (ctx) => ctx.state.total,
  },
});
