package io.callboard.sdk.internal;

import java.util.UUID;
import java.util.concurrent.ThreadLocalRandom;

/** Makes request ids: UUIDs of version 7, whose order is the order of time. */
public final class RequestIds {
  private RequestIds() {}

  /**
   * A new id.
   *
   * @param unixMs the time that it begins with
   * @return the id
   */
  public static String next(long unixMs) {
    ThreadLocalRandom random = ThreadLocalRandom.current();
    long high = (unixMs << 16) | 0x7000L | (random.nextLong() & 0x0FFFL);
    long low = (random.nextLong() & 0x3FFF_FFFF_FFFF_FFFFL) | 0x8000_0000_0000_0000L;
    return new UUID(high, low).toString();
  }
}
