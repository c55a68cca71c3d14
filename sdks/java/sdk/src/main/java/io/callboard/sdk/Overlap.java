package io.callboard.sdk;

/** What to do when an occurrence of a schedule is due while the one before it still runs. */
public enum Overlap {
  /** It is missed. */
  SKIP,
  /** It waits until the one before it ended; of several that wait, one is made up for. */
  QUEUE,
  /** It goes into the actor's mailbox at once. */
  ALLOW
}
