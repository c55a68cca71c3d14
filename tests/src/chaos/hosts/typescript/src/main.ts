/**
 * The chaos test's actors in TypeScript: they do exactly what the host in Rust (tests/src/chaos/host.rs) does. Ledgers
 * never look whether an add is there already: that it comes once is the server's promise.
 */
import { defineActor, serve } from "@callboard/sdk";
import type { Ctx } from "@callboard/sdk";

/** So short that actors are put away and woken again all the time. The other hosts say the same. */
const IDLE = "2s";

/** How often tallies are saved. */
const SAVE = "1s";

/** Lives are drawn below this number, which every language can hold. */
const LIVES = 2 ** 52;

interface LedgerState {
  total: number;
  entries: [add: number, amount: number][];
}

const ledger = defineActor({
  type: "ChaosLedger",
  initial: (): LedgerState => ({ total: 0, entries: [] }),
  idleTimeout: IDLE,
  actions: {
    add(ctx, { add, amount }: { add: number; amount: number }) {
      ctx.state.total += amount;
      ctx.state.entries.push([add, amount]);
      return { count: ctx.state.entries.length, total: ctx.state.total };
    },
  },
  reads: {
    read: (ctx) => ({ count: ctx.state.entries.length, total: ctx.state.total }),
  },
});

const register = defineActor({
  type: "ChaosRegister",
  initial: () => ({ value: 0 }),
  idleTimeout: IDLE,
  actions: {
    write(ctx, { value }: { value: number }) {
      ctx.state.value = value;
    },
    swap(ctx, { expected, value }: { expected: number; value: number }) {
      const swapped = ctx.state.value === expected;
      if (swapped) {
        ctx.state.value = value;
      }
      return { swapped };
    },
  },
  reads: {
    read: (ctx) => ({ value: ctx.state.value }),
  },
});

interface Life {
  life: number;
  count: number;
}

function count(ctx: Ctx<Life>) {
  if (ctx.state.life === 0) {
    ctx.state.life = 1 + Math.floor(Math.random() * (LIVES - 1));
  }
  ctx.state.count += 1;
  return { epoch: Number(ctx.fencingToken.epoch), life: ctx.state.life, count: ctx.state.count };
}

const counter = defineActor({
  type: "ChaosCounter",
  initial: (): Life => ({ life: 0, count: 0 }),
  durability: "volatile",
  idleTimeout: IDLE,
  actions: { count },
});

const tally = defineActor({
  type: "ChaosTally",
  initial: (): Life => ({ life: 0, count: 0 }),
  durability: "snapshot",
  idleTimeout: IDLE,
  snapshotInterval: SAVE,
  actions: { count },
});

await serve({ actors: [ledger, register, counter, tally] });
