package io.callboard.sdk.internal;

import io.callboard.host.v1.Broadcast;
import io.callboard.host.v1.Effect;
import io.callboard.host.v1.NextCall;
import io.callboard.host.v1.Workflow;
import io.callboard.sdk.Action;
import io.callboard.sdk.ActorCall;
import io.callboard.sdk.CallException;
import io.callboard.sdk.Channel;
import io.callboard.sdk.ErrorCode;
import io.callboard.sdk.Reply;
import io.callboard.sdk.RetryAdvice;
import io.callboard.type.v1.Payload;
import java.time.Duration;
import java.time.Instant;
import java.util.HashMap;
import java.util.Map;

/** What one turn sets going if it commits, in the order in which it asked for it. */
final class TurnOutputs {
  /** Most effects and broadcasts of one turn. */
  static final int OUTPUTS_MAX = 1_024;

  private final TurnInput input;
  /** Null until there is something: most turns set nothing going. */
  private Workflow.Builder workflow;

  TurnOutputs(TurnInput input) {
    this.input = input;
  }

  <I> void tell(ActorCall<I, ?> call, Duration delay, Instant at) {
    if (delay.isNegative()) {
      throw new IllegalArgumentException("a delay is not negative: " + delay);
    }
    checkRoom();
    Effect.Builder effect =
        Effect.newBuilder()
            .setTarget(Wire.actorId(call.target(), input.self().system()))
            .setAction(call.action().name())
            .setDelayMs(delay.toMillis())
            .setDueAtMs(at == null ? 0 : at.toEpochMilli())
            .putAllMetadata(traced(input, call.metadata()));
    Payload payload = call.action().input().encode(call.argument());
    if (!payload.getContentType().isEmpty()) {
      effect.setPayload(payload);
    }
    some().addEffects(effect);
  }

  <T> void broadcast(Channel<T> channel, T message, Map<String, String> metadata) {
    checkRoom();
    some().addBroadcasts(
        Broadcast.newBuilder()
            .setChannel(channel.name())
            .setPayload(channel.codec().encode(message))
            .putAllMetadata(traced(input, metadata)));
  }

  void checkpoint() {
    some().setCheckpoint(true);
  }

  void deactivate() {
    some().setDeactivate(true);
  }

  /** Says who answers in the actor's place, and gives back what it gets: nothing of its own with a forward. */
  Payload next(Reply.Next<?> next, Action<?, ?> running) {
    NextCall.Builder call =
        NextCall.newBuilder()
            .setTarget(Wire.actorId(next.call().target(), input.self().system()))
            .setAction(next.call().action().name());
    if (next.forwards()) {
      checkSameInput(next.call().action(), running);
      some().setForward(call);
      return Payload.getDefaultInstance();
    }
    some().setPipe(call);
    return encoded(next.call());
  }

  private static <I> Payload encoded(ActorCall<I, ?> call) {
    return call.action().input().encode(call.argument());
  }

  private static void checkSameInput(Action<?, ?> next, Action<?, ?> running) {
    if (!next.input().typeName().equals(running.input().typeName())) {
      throw new IllegalArgumentException(
          running.name() + " cannot forward to " + next.name() + ", which takes another argument ("
              + named(running) + " and " + named(next) + "); pipe what it takes");
    }
  }

  private static String named(Action<?, ?> action) {
    return action.input().typeName().isEmpty() ? "JSON" : action.input().typeName();
  }

  /** What there is so far, to go back to. */
  Workflow.Builder copy() {
    return workflow == null ? null : workflow.clone();
  }

  /** Forgets what came after a copy. */
  void reset(Workflow.Builder copy) {
    workflow = copy;
  }

  /** The whole; null if nothing was set going. */
  Workflow build() {
    return workflow == null ? null : workflow.build();
  }

  private Workflow.Builder some() {
    if (workflow == null) {
      workflow = Workflow.newBuilder();
    }
    return workflow;
  }

  private void checkRoom() {
    if (workflow != null && workflow.getEffectsCount() + workflow.getBroadcastsCount() >= OUTPUTS_MAX) {
      throw new CallException(
          ErrorCode.INVALID_ARGUMENT,
          "INVALID_ARGUMENT",
          "a turn has at most " + OUTPUTS_MAX + " effects and broadcasts; a retry fails the same way, split the work",
          RetryAdvice.NEVER);
    }
  }

  /** Metadata with the turn's trace context, so that one trace follows a call from actor to actor. */
  static Map<String, String> traced(TurnInput input, Map<String, String> own) {
    Map<String, String> turn = input.turn().getMetadataMap();
    if (!turn.containsKey("traceparent") && !turn.containsKey("tracestate")) {
      return own;
    }
    Map<String, String> all = new HashMap<>();
    for (String key : new String[] {"traceparent", "tracestate"}) {
      if (turn.containsKey(key)) {
        all.put(key, turn.get(key));
      }
    }
    all.putAll(own);
    return all;
  }
}
