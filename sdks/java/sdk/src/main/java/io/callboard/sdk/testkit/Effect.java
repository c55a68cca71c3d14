package io.callboard.sdk.testkit;

import io.callboard.sdk.Action;
import io.callboard.sdk.ActorId;
import io.callboard.type.v1.Payload;
import java.time.Instant;
import java.util.Map;

/**
 * A call that an actor made inside a turn, or told.
 *
 * @param target whom it called
 * @param action which action
 * @param argument the argument as it went over the wire; see {@link #argument(Action)}
 * @param requestId the call's request id
 * @param due when it is made
 * @param metadata text that travels with it
 * @param source the actor that made it
 */
public record Effect(
    ActorId target,
    String action,
    Payload argument,
    String requestId,
    Instant due,
    Map<String, String> metadata,
    ActorId source) {
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
