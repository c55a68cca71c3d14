package io.callboard.sdk;

import io.callboard.type.v1.Payload;

/**
 * Turns values of one type into bytes and back. See {@link Codecs} for protobuf and JSON.
 *
 * @param <T> the type of the values
 */
public interface Codec<T> {
  /**
   * Encodes a value.
   *
   * @param value the value; null stands for "no value" where the codec allows it
   * @return the bytes with their content type
   */
  Payload encode(T value);

  /**
   * Decodes a value.
   *
   * @param payload the bytes with their content type; without content type it is "no value"
   * @return the value
   * @throws IllegalArgumentException if the payload does not hold such a value; the message says why
   */
  T decode(Payload payload);

  /**
   * The full name of the protobuf message.
   *
   * @return empty if values are not protobuf messages
   */
  String typeName();

  /**
   * Whether a value may be changed in place after it was decoded, so that a discarded turn must not leave it behind.
   *
   * @return false only if values are immutable
   */
  boolean mutable();
}
