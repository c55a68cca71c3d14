package io.callboard.sdk;

import io.callboard.type.v1.Payload;
import java.time.Instant;
import java.util.Map;
import java.util.Optional;

/**
 * What was said on a channel.
 *
 * @param channel the channel's name
 * @param id names the message; the same if it comes twice
 * @param payload the message, encoded; see {@link #message(Channel)}
 * @param metadata what was said beside it
 * @param source the actor that said it; empty for messages from outside
 * @param publishedAt when it was said
 */
public record ChannelMessage(
    String channel,
    String id,
    Payload payload,
    Map<String, String> metadata,
    Optional<ActorId> source,
    Instant publishedAt)
    implements ChannelItem {
  /**
   * The message, decoded.
   *
   * @param as the channel that it was said on
   * @param <T> the type of its messages
   * @return the message
   * @throws IllegalArgumentException if the payload does not hold such a message
   */
  public <T> T message(Channel<T> as) {
    return as.codec().decode(payload);
  }
}
