package io.callboard.sdk;

/** Which actors of a type get what is said on a channel. */
public enum Deliver {
  /** EVERY for NAMED types, ACTIVE for others. */
  DEFAULT,
  /** Those that are in memory, at most once. */
  ACTIVE,
  /**
   * Every actor with a stored state, from its first commit until it is deleted, and the one of a NAMED type at any time,
   * exactly once. Durable types only.
   */
  EVERY
}
