package io.callboard.sdk.testkit;

import io.callboard.sdk.ActorId;
import io.callboard.sdk.Channel;
import io.callboard.type.v1.Payload;
import java.util.Map;

/**
 * What a committed turn said on a channel.
 *
 * @param channel the channel's name
 * @param payload the message as it went over the wire; see {@link #message(Channel)}
 * @param metadata what was said beside it
 * @param source the actor that said it
 */
public record Said(String channel, Payload payload, Map<String, String> metadata, ActorId source) {
  /**
   * The message, decoded.
   *
   * @param as the channel
   * @param <T> the type of its messages
   * @return the message
   */
  public <T> T message(Channel<T> as) {
    return as.codec().decode(payload);
  }
}
