package io.callboard.examples.incrementor;

import io.callboard.examples.incrementor.v1.AddRequest;
import io.callboard.examples.incrementor.v1.AddResponse;
import io.callboard.examples.incrementor.v1.CastRequest;
import io.callboard.examples.incrementor.v1.CastResponse;
import io.callboard.examples.incrementor.v1.IncrementorActor;
import io.callboard.examples.incrementor.v1.IncrementorState;
import io.callboard.examples.incrementor.v1.InitRequest;
import io.callboard.examples.incrementor.v1.InitResponse;
import io.callboard.examples.incrementor.v1.StopRequest;
import io.callboard.examples.incrementor.v1.StopResponse;
import io.callboard.examples.incrementor.v1.TotalRequest;
import io.callboard.examples.incrementor.v1.TotalResponse;
import io.callboard.sdk.ActorError;
import io.callboard.sdk.Context;
import io.callboard.sdk.ErrorCode;
import io.callboard.sdk.ReadContext;
import io.callboard.sdk.Reply;

/** The counter. Its state is whatever the last turn that returned normally left. */
public final class Incrementor extends IncrementorActor {
  @Override
  protected Reply<InitResponse> init(Context<IncrementorState> context, InitRequest request) {
    context.update(state -> state.toBuilder().setLives(state.getLives() + 1).build());
    return context.reply(InitResponse.getDefaultInstance());
  }

  @Override
  protected Reply<AddResponse> add(Context<IncrementorState> context, AddRequest request) {
    IncrementorState state = added(context, request.getAmount());
    return context.reply(
        AddResponse.newBuilder().setTotal(state.getTotal()).setLanguage("java").build());
  }

  @Override
  protected Reply<CastResponse> cast(Context<IncrementorState> context, CastRequest request) {
    added(context, request.getAmount());
    return context.reply(CastResponse.getDefaultInstance());
  }

  @Override
  protected Reply<TotalResponse> total(ReadContext<IncrementorState> context, TotalRequest request) {
    IncrementorState state = context.state();
    return context.reply(
        TotalResponse.newBuilder()
            .setTotal(state.getTotal())
            .setAdditions(state.getAdditions())
            .build());
  }

  @Override
  protected Reply<StopResponse> stop(Context<IncrementorState> context, StopRequest request) {
    IncrementorState state = context.update(s -> s.toBuilder().setStopped(true).build());
    return context.reply(StopResponse.newBuilder().setTotal(state.getTotal()).build());
  }

  private static IncrementorState added(Context<IncrementorState> context, long amount) {
    if (context.state().getStopped()) {
      throw new ActorError(
          ErrorCode.FAILED_PRECONDITION,
          "COUNTER_STOPPED",
          "counter " + context.self().key() + " is stopped and takes no more amounts");
    }
    return context.update(
        state ->
            state.toBuilder()
                .setTotal(Math.addExact(state.getTotal(), amount))
                .setAdditions(state.getAdditions() + 1)
                .build());
  }
}
