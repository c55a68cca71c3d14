package io.callboard.sdk.internal;

import io.callboard.sdk.Codec;
import io.callboard.type.v1.Payload;

/**
 * The state of one actor between the turns of a run: its bytes, and the value decoded from them as long as it is good.
 * Used by one turn after the other, never by two at a time.
 *
 * @param <S> the type of the state
 */
public final class StateCell<S> {
  private final Codec<S> codec;
  private Payload bytes;
  private S value;
  private boolean decoded;

  /**
   * Starts from bytes.
   *
   * @param codec how the state is encoded
   * @param bytes the state; without content type there is none yet
   */
  public StateCell(Codec<S> codec, Payload bytes) {
    this.codec = codec;
    this.bytes = bytes;
  }

  /**
   * The encoded state.
   *
   * @return without content type if there is none yet
   */
  public Payload bytes() {
    return bytes;
  }

  boolean exists() {
    return !bytes.getContentType().isEmpty();
  }

  /** Decodes the state if there is one and it was not decoded yet. */
  void load() {
    if (!decoded && exists()) {
      value = codec.decode(bytes);
      decoded = true;
    }
  }

  /** The decoded state. Only for one that exists. */
  S value() {
    load();
    return value;
  }

  /** Encodes the value that a turn left. Answers the bytes if they differ from the present ones, else null. */
  Payload changed(S next) {
    if (next == null) {
      if (exists()) {
        throw new IllegalArgumentException("the state cannot be set back to null");
      }
      return null;
    }
    Payload encoded = codec.encode(next);
    return encoded.equals(bytes) ? null : encoded;
  }

  /** Takes over what a turn left. */
  void commit(S next, Payload encoded) {
    if (encoded != null) {
      bytes = encoded;
    }
    if (exists()) {
      value = next;
      decoded = true;
    }
  }

  /** Forgets what a failed turn may have changed in place. */
  void discard() {
    if (codec.mutable()) {
      value = null;
      decoded = false;
    }
  }
}
