import type { SagaProgress, SagaTurn } from "@callboard/sdk";
import { defineActor, defineSaga, jsonAction } from "@callboard/sdk";

const hotel = { type: "Hotel", actions: { book: jsonAction<number, string>("book"), cancel: jsonAction<string>("cancel") } };
const bank = { type: "Bank", actions: { charge: jsonAction<number, void>("charge") } };

interface Booking {
  nights: number;
  room?: string;
}

const booking = defineSaga<{ saga?: SagaProgress<Booking> }, Booking>({
  load: (state) => state.saga,
  save(state, progress) {
    state.saga = progress;
  },
  steps: [
    {
      name: "hotel",
      async action(ctx, data) {
        data.room = await ctx.ref(hotel, "ritz").book(data.nights);
      },
      async compensate(ctx, data) {
        if (data.room !== undefined) {
          await ctx.ref(hotel, "ritz").cancel(data.room);
        }
      },
    },
    {
      name: "bank",
      async action(ctx, data) {
        await ctx.ref(bank, ctx.self.key).charge(100 * data.nights);
      },
    },
  ],
});

export const trip = defineActor({
  type: "Trip",
  initial: (): { saga?: SagaProgress<Booking> } => ({}),
  actions: {
    book: (ctx, nights: number) => booking.start(ctx, { nights }),
    saga: (ctx, turn: SagaTurn) => booking.turn(ctx, turn),
  },
  reads: { status: (ctx) => booking.status(ctx.state) ?? "new" },
});
