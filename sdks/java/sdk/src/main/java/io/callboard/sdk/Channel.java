package io.callboard.sdk;

import com.google.protobuf.Message;
import java.util.Objects;

/**
 * A channel of a system, and what is said on it.
 *
 * @param name the channel's name: 1 to 128 bytes without control characters
 * @param codec how messages are encoded
 * @param <T> the type of the messages
 */
public record Channel<T>(String name, Codec<T> codec) {
  /** Checks that nothing is null. */
  public Channel {
    Objects.requireNonNull(name, "name");
    Objects.requireNonNull(codec, "codec");
  }

  /**
   * A channel with JSON messages.
   *
   * @param name the channel's name
   * @param type the type of the messages
   * @param <T> the type of the messages
   * @return the channel
   */
  public static <T> Channel<T> json(String name, Class<T> type) {
    return new Channel<>(name, Codecs.json(type));
  }

  /**
   * A channel with protobuf messages.
   *
   * @param name the channel's name
   * @param message the default instance of the messages
   * @param <T> the type of the messages
   * @return the channel
   */
  public static <T extends Message> Channel<T> protobuf(String name, T message) {
    return new Channel<>(name, Codecs.protobuf(message));
  }
}
