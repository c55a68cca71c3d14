package io.callboard.sdk;

import io.callboard.type.v1.Payload;
import java.time.Instant;
import java.util.Map;
import java.util.Optional;

/**
 * A schedule as it stands.
 *
 * @param system its system
 * @param name its name within the system
 * @param target whom it calls
 * @param action which action
 * @param argument the argument, encoded; without content type there is none. See {@link #argument(Codec)}
 * @param metadata text that travels with its calls
 * @param when when it calls
 * @param paused whether it waits to be resumed
 * @param generation raised with each update
 * @param next when it is due next, jitter included; empty if it has ended
 * @param fired how often it fired
 * @param missed how many occurrences were missed: too late, paused, or skipped
 * @param failed how many firings ended with an error of the call
 * @param lastFired the newest firing; empty if there was none
 * @param lastError why the newest firing failed; empty if it did not
 * @param created when it was made; empty if the node does not say
 */
public record Schedule(
    String system,
    String name,
    ActorId target,
    String action,
    Payload argument,
    Map<String, String> metadata,
    When when,
    boolean paused,
    long generation,
    Optional<Instant> next,
    long fired,
    long missed,
    long failed,
    Optional<Instant> lastFired,
    Optional<String> lastError,
    Optional<Instant> created) {
  /**
   * The argument, decoded.
   *
   * @param codec how it is encoded
   * @param <T> its type
   * @return the argument
   * @throws IllegalArgumentException if the payload does not hold such a value
   */
  public <T> T argument(Codec<T> codec) {
    return codec.decode(argument);
  }
}
