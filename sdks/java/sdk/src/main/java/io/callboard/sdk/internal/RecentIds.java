package io.callboard.sdk.internal;

import java.util.HashSet;
import java.util.Set;

/** Remembers the newest ids it was given, up to a number. Used on the event loop only. */
final class RecentIds {
  private final long[] ring;
  private final Set<Long> ids;
  private int next;
  private boolean full;

  RecentIds(int size) {
    ring = new long[size];
    ids = new HashSet<>(size * 2);
  }

  /** Remembers an id. Answers false if it is remembered already. */
  boolean add(long id) {
    if (!ids.add(id)) {
      return false;
    }
    if (full) {
      ids.remove(ring[next]);
    }
    ring[next] = id;
    next = (next + 1) % ring.length;
    full |= next == 0;
    return true;
  }
}
