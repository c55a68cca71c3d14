import { defineActor, defineChannel, jsonAction, to } from "@callboard/sdk";

const audit = { type: "Audit", actions: { note: jsonAction<string, void>("note") } };
const cashier = { type: "Cashier", actions: { pay: jsonAction<number, string>("pay") } };
export const offers = defineChannel<{ item: string; price: number }>("offers");

export const shop = defineActor({
  type: "Shop",
  timers: { clean: "1m" },
  channels: { offers: { action: "heard", deliver: "every" } },
  history: { revisions: 100, age: "24h" },
  initial: () => ({ sold: 0, prices: {} as Record<string, number> }),
  actions: {
    buy(ctx, { item, count }: { item: string; count: number }) {
      ctx.state.sold += count;
      ctx.tell(to(audit, "main").note(`${count} x ${item}`), { delay: "5s" });
      ctx.broadcast(offers, { item, price: 1 });
      return ctx.pipe(to(cashier, "front").pay(count * (ctx.state.prices[item] ?? 1)));
    },
    pay: (ctx, _amount: number) => ctx.forward(to(cashier, "front").pay),
    heard(ctx, { item, price }: { item: string; price: number }) {
      ctx.state.prices[item] = price;
    },
    clean(ctx) {
      ctx.log.info("once a minute, while the shop is in memory");
    },
  },
});
