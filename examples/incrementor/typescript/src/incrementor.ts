/**
 * A counter that survives: its state is a protobuf message that the server keeps and hands to each turn.
 */
import { ActorError, Code } from "@callboard/sdk";

import type { IncrementorCtx, IncrementorReadCtx } from "../gen/incrementor_actor.js";
import { IncrementorActor } from "../gen/incrementor_actor.js";
import type { AddRequest, CastRequest } from "../gen/incrementor_pb.js";

export class Incrementor extends IncrementorActor {
  init(ctx: IncrementorCtx) {
    ctx.state.lives += 1n;
  }

  add(ctx: IncrementorCtx, { amount }: AddRequest) {
    increase(ctx, amount);
    return { total: ctx.state.total, language: "typescript" };
  }

  cast(ctx: IncrementorCtx, { amount }: CastRequest) {
    increase(ctx, amount);
  }

  total(ctx: IncrementorReadCtx) {
    const { total, additions } = ctx.state;
    return { total, additions };
  }

  stop(ctx: IncrementorCtx) {
    ctx.state.stopped = true;
    return { total: ctx.state.total };
  }
}

function increase(ctx: IncrementorCtx, amount: bigint): void {
  if (ctx.state.stopped) {
    throw new ActorError(Code.FAILED_PRECONDITION, "COUNTER_STOPPED", "This counter was stopped; use another one.");
  }
  ctx.state.total += amount;
  ctx.state.additions += 1n;
}
