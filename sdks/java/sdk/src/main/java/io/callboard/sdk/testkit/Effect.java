package io.callboard.sdk.testkit;

import io.callboard.sdk.Action;
import io.callboard.sdk.ActorId;
import io.callboard.type.v1.Payload;

/**
 * A call that the actor made inside a turn.
 *
 * @param target whom it called
 * @param action which action
 * @param argument the argument as it went over the wire; see {@link #argument(Action)}
 */
public record Effect(ActorId target, String action, Payload argument) {
  /**
   * The argument, decoded.
   *
   * @param action the action that was called
   * @param <I> the type of the argument
   * @return the argument
   */
  public <I> I argument(Action<I, ?> action) {
    return action.input().decode(argument);
  }

  /** Prints target and action. */
  @Override
  public String toString() {
    return target.type() + "/" + target.key() + " " + action;
  }
}
