package io.callboard.sdk;

/** What kind of life the actors of a type lead. */
public enum Kind {
  /** One actor per key, activated by its first call. */
  UNNAMED,
  /** Exactly one actor, whose key is the type's name, activated as soon as a host registered the type. */
  NAMED,
  /** Instances without keys and kept state, many at once; each call goes to any of them. See {@link ActorSettings}. */
  POOLED
}
