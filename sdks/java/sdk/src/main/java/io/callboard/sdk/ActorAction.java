package io.callboard.sdk;

import java.util.Map;
import java.util.Objects;

/**
 * An action of one actor, as a value: what {@link Context#forward} takes, and with an argument what {@link Context#tell},
 * {@link Context#pipe} and {@link Schedules} take.
 *
 * @param target the actor
 * @param action its action
 * @param <I> the type of the argument
 * @param <O> the type of the reply
 */
public record ActorAction<I, O>(ActorId target, Action<I, O> action) {
  /** Checks that nothing is null. */
  public ActorAction {
    Objects.requireNonNull(target, "target");
    Objects.requireNonNull(action, "action");
  }

  /**
   * The call of this action with an argument. Describes it, and makes no call.
   *
   * @param argument the argument
   * @return the call as a value
   */
  public ActorCall<I, O> with(I argument) {
    return new ActorCall<>(target, action, argument, Map.of());
  }
}
