package io.callboard.sdk.testkit;

import io.callboard.sdk.Action;
import io.callboard.sdk.ActorId;
import io.callboard.type.v1.Payload;

/**
 * The actor to which a turn left its answer.
 *
 * @param target the actor
 * @param action its action
 * @param argument what it gets, as it goes over the wire
 * @param forwards true if that is the turn's own argument
 */
public record NextCall(ActorId target, String action, Payload argument, boolean forwards) {
  /**
   * What it gets, decoded.
   *
   * @param action its action
   * @param <I> the type of the argument
   * @return the argument
   */
  public <I> I argument(Action<I, ?> action) {
    return action.input().decode(argument);
  }
}
