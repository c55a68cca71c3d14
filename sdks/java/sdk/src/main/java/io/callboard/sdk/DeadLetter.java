package io.callboard.sdk;

import io.callboard.type.v1.Payload;
import java.time.Instant;

/**
 * An effect, or a message to a channel, that could not be delivered.
 *
 * @param id names it
 * @param source the actor whose turn told it
 * @param target whom it is for; without type and key if it is a message
 * @param action which action; empty for messages
 * @param channel which channel the message was for; empty for effects
 * @param argument its argument, or what was said, encoded; without content type there is none. See {@link #argument(Codec)}
 * @param requestId its request id
 * @param error why it could not be delivered; not thrown
 * @param attempts how often it was tried
 * @param createdAt when its turn committed it
 * @param diedAt when it was given up
 */
public record DeadLetter(
    String id,
    ActorId source,
    ActorId target,
    String action,
    String channel,
    Payload argument,
    String requestId,
    CallException error,
    int attempts,
    Instant createdAt,
    Instant diedAt) {
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
