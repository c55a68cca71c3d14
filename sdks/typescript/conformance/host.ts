/**
 * The host half: one JSON actor whose actions try everything that a turn can do.
 */
import type { Ctx, ReadCtx, TurnFacts } from "@callboard/sdk";
import { ActorError, Code, defineActor, isCallboardError, jsonAction, serve } from "@callboard/sdk";

interface State {
  total: number;
}

interface Target {
  readonly type: string;
  readonly key: string;
  readonly action: string;
}

/** How long the busy action keeps the thread before it lets others in, in milliseconds. */
const SLICE_MS = 5;

const conformance = defineActor({
  type: "Conformance",
  initial: (): State => ({ total: 0 }),
  actions: {
    add(ctx, { amount }: { amount: number }) {
      ctx.state.total += amount;
      return { total: ctx.state.total };
    },
    fail(ctx, { reason, message }: { reason: string; message: string }) {
      ctx.state.total += 1_000;
      throw new ActorError(Code.FAILED_PRECONDITION, reason, message);
    },
    crash(ctx) {
      ctx.state.total += 1_000;
      throw new Error("boom");
    },
    async wait(ctx) {
      await aborted(ctx.signal);
    },
    async block(_ctx, { ms }: { ms: number }) {
      const end = Date.now() + ms;
      while (Date.now() < end) {
        const slice = Math.min(end, Date.now() + SLICE_MS);
        while (Date.now() < slice) {
          // Busy on purpose.
        }
        await new Promise((resolve) => setImmediate(resolve));
      }
      return {};
    },
    async call(ctx, { argument, ...target }: Target & { argument: unknown }) {
      return { reply: (await callOther(ctx, target, argument)) ?? null };
    },
    async calls(ctx, { count, ...target }: Target & { count: number }) {
      const replies: unknown[] = [];
      for (let index = 0; index < count; index += 1) {
        replies.push((await callOther(ctx, target, { amount: index })) ?? null);
      }
      return { replies };
    },
    context: (ctx) => contextOf(ctx),
    tag(ctx, { name, value }: { name: string; value: string }) {
      if (value === "") {
        delete ctx.tags[name];
      } else {
        ctx.tags[name] = value;
      }
      return {};
    },
    none: () => undefined,
  },
  reads: {
    read: (ctx) => ({ total: ctx.state.total }),
    mutate_read(ctx) {
      const { total } = ctx.state;
      try {
        (ctx as unknown as Ctx<State>).state.total += 1_000;
      } catch {
        // A refusal is as good as being ignored.
      }
      return { total };
    },
    tags: (ctx: ReadCtx<State>) => ctx.tags,
  },
});

function callOther(ctx: TurnFacts, { type, key, action }: Target, argument: unknown): Promise<unknown> {
  const other = { type, actions: { it: jsonAction<unknown, unknown>(action) } };
  return ctx.ref(other, key).it(argument);
}

function contextOf(ctx: TurnFacts): unknown {
  return {
    request_id: ctx.requestId,
    attempt: ctx.attempt,
    key: ctx.self.key,
    caller: ctx.caller ?? null,
    metadata: ctx.metadata,
    epoch: Number(ctx.fencingToken.epoch),
    revision: Number(ctx.fencingToken.revision),
    created_at_ms: ctx.createdAt.getTime(),
  };
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const end = (): void => reject(signal.reason as Error);
    if (signal.aborted) {
      end();
    }
    signal.addEventListener("abort", end, { once: true });
  });
}

/** Runs the host until a signal ends it. */
export async function runHost(): Promise<void> {
  try {
    const sidecar = process.env["CALLBOARD_CONFORMANCE_MODE"] === "sidecar";
    await serve({ actors: [conformance], ...(sidecar ? { mode: "sidecar" } : {}) });
  } catch (error) {
    const reason = isCallboardError(error) ? error.reason : "UNKNOWN";
    console.error(`refused: ${reason}: ${String(error)}`);
    process.exitCode = 1;
  }
}
