/**
 * The host half: one JSON actor whose actions try everything that a turn can do.
 */
import type { Call, CallTo, Ctx, ReadCtx, TurnFacts } from "@callboard/sdk";
import { ActorError, Code, defineActor, isCallboardError, jsonAction, serve, to } from "@callboard/sdk";

interface State {
  total: number;
}

interface Target {
  readonly type: string;
  readonly key: string;
  readonly action: string;
}

/** What the action "workflow" is asked for. */
interface Workflow {
  readonly tell?: readonly (Target & {
    readonly argument?: unknown;
    readonly delay_ms?: number;
    readonly at_ms?: number;
    readonly metadata?: Record<string, string>;
  })[];
  readonly broadcast?: readonly {
    readonly channel: string;
    readonly message: unknown;
    readonly metadata?: Record<string, string>;
  }[];
  readonly pipe?: Target & { readonly argument: unknown };
  readonly forward?: Target;
  readonly checkpoint?: boolean;
  readonly deactivate?: boolean;
  readonly fail?: boolean;
}

/** How long the busy action keeps the thread before it lets others in, in milliseconds. */
const SLICE_MS = 5;

const conformance = defineActor({
  type: "Conformance",
  timers: { tick: "5s" },
  channels: { news: { action: "news", deliver: "every" }, alerts: {} },
  history: { revisions: 10, age: "1h" },
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
    workflow: (ctx, asked: Workflow) => workflow(ctx, asked),
    tick(ctx) {
      ctx.state.total += 1;
      return { timer: ctx.metadata["callboard-timer"] ?? null };
    },
    news: (ctx, message: unknown) => hear(ctx, message),
    receive: (ctx, message: unknown) => hear(ctx, message),
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
    tell_read(ctx) {
      const { total } = ctx.state;
      try {
        const add = describe({ type: "Other", key: "o", action: "add" });
        (ctx as unknown as Ctx<State>).tell(add({ amount: 1 }));
      } catch {
        // A refusal is as good as being ignored.
      }
      return { total };
    },
    tags: (ctx: ReadCtx<State>) => ctx.tags,
  },
});

const pool = defineActor({
  type: "ConformancePool",
  pooled: { min: 1, max: 4 },
  actions: {
    work: (_ctx, { n }: { n: number }) => ({ n: 2 * n }),
  },
});

function describe({ type, key, action }: Target): CallTo {
  return to({ type, actions: { it: jsonAction<unknown, unknown>(action) } }, key).it;
}

function workflow(ctx: Ctx<State>, asked: Workflow): unknown {
  ctx.state.total += 1;
  for (const { argument, delay_ms, at_ms, metadata = {}, ...target } of asked.tell ?? []) {
    const call: Call = describe(target)(argument);
    if (at_ms !== undefined) {
      ctx.tell(call, { at: new Date(at_ms), metadata });
    } else {
      ctx.tell(call, { ...(delay_ms === undefined ? {} : { delay: delay_ms }), metadata });
    }
  }
  for (const { channel, message, metadata = {} } of asked.broadcast ?? []) {
    ctx.broadcast(channel, message, { metadata });
  }
  if (asked.checkpoint === true) {
    ctx.checkpoint();
  }
  if (asked.deactivate === true) {
    ctx.deactivate();
  }
  if (asked.fail === true) {
    throw new ActorError(Code.FAILED_PRECONDITION, "ON_PURPOSE", "It was asked to fail.");
  }
  if (asked.pipe !== undefined) {
    return ctx.pipe(describe(asked.pipe)(asked.pipe.argument));
  }
  return asked.forward === undefined ? { total: ctx.state.total } : ctx.forward(describe(asked.forward));
}

function hear(ctx: Ctx<State>, message: unknown): unknown {
  ctx.state.total += 1;
  return { channel: ctx.metadata["callboard-channel"] ?? null, message };
}

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
    await serve({ actors: [conformance, pool], ...(sidecar ? { mode: "sidecar" } : {}) });
  } catch (error) {
    const reason = isCallboardError(error) ? error.reason : "UNKNOWN";
    console.error(`refused: ${reason}: ${String(error)}`);
    process.exitCode = 1;
  }
}
