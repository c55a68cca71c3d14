package io.callboard.sdk;

/** What happens to the state of an actor, and when. */
public enum Durability {
  /** A reply leaves only after the state that it reports is committed. */
  DURABLE,
  /** Replies leave at once; the state is saved on an interval. A crash loses what came after the last save. */
  SNAPSHOT,
  /** The state lives only as long as the activation. */
  VOLATILE
}
