package io.callboard.sdk;

import java.util.Map;
import java.util.Objects;

/**
 * A call as a value: made of a target with {@code actor.action(ADD).with(argument)}, and made later by whoever it is
 * given to. Calls made inside a turn carry the trace context of the turn on, beside their own metadata.
 *
 * @param target whom to call
 * @param action which action
 * @param argument its argument; null for actions without one
 * @param metadata text that travels with the call
 * @param <I> the type of the argument
 * @param <O> the type of the reply
 */
public record ActorCall<I, O>(ActorId target, Action<I, O> action, I argument, Map<String, String> metadata) {
  /** Checks the parts. */
  public ActorCall {
    Objects.requireNonNull(target, "target");
    Objects.requireNonNull(action, "action");
    metadata = Map.copyOf(metadata);
  }

  /**
   * Sends text along with the call.
   *
   * @param metadata at most 64 entries and 8 KiB in all
   * @return the changed call
   */
  public ActorCall<I, O> withMetadata(Map<String, String> metadata) {
    return new ActorCall<>(target, action, argument, metadata);
  }
}
