package io.callboard.sdk;

import com.google.protobuf.Message;
import java.util.Objects;

/**
 * One action of an actor type: its name on the wire, and how its argument and reply are encoded.
 *
 * @param name the name exactly as callers in any language write it
 * @param input how arguments are encoded
 * @param output how replies are encoded
 * @param <I> the type of arguments
 * @param <O> the type of replies
 */
public record Action<I, O>(String name, Codec<I> input, Codec<O> output) {
  /** Checks that nothing is null. */
  public Action {
    Objects.requireNonNull(name, "name");
    Objects.requireNonNull(input, "input");
    Objects.requireNonNull(output, "output");
  }

  /**
   * An action with protobuf messages.
   *
   * @param name the rpc's name as written in the proto
   * @param input the default instance of the request message
   * @param output the default instance of the reply message
   * @param <I> the request message
   * @param <O> the reply message
   * @return the action
   */
  public static <I extends Message, O extends Message> Action<I, O> protobuf(String name, I input, O output) {
    return new Action<>(name, Codecs.protobuf(input), Codecs.protobuf(output));
  }

  /**
   * An action with JSON values.
   *
   * @param name the action's name
   * @param input the type of arguments; {@code Void.class} if there are none
   * @param output the type of replies; {@code Void.class} if there are none
   * @param <I> the type of arguments
   * @param <O> the type of replies
   * @return the action
   */
  public static <I, O> Action<I, O> json(String name, Class<I> input, Class<O> output) {
    return new Action<>(name, Codecs.json(input), Codecs.json(output));
  }
}
