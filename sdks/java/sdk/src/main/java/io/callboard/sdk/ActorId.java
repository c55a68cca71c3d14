package io.callboard.sdk;

import java.util.Objects;

/**
 * Names one actor.
 *
 * @param system the group of actors that it belongs to; empty means the system of the caller or host
 * @param type the actor type, for example {@code "Counter"}
 * @param key which actor of the type
 */
public record ActorId(String system, String type, String key) {
  /** Checks that nothing is null. Names and keys are judged by the server. */
  public ActorId {
    Objects.requireNonNull(system, "system");
    Objects.requireNonNull(type, "type");
    Objects.requireNonNull(key, "key");
  }

  /**
   * The actor of a NAMED type, or any instance of a POOLED one.
   *
   * @param type the actor type
   * @return the id, without a key
   */
  public static ActorId of(String type) {
    return new ActorId("", type, "");
  }

  /**
   * An action of this actor, as a value.
   *
   * @param action the action
   * @param <I> the type of the argument
   * @param <O> the type of the reply
   * @return the action of this actor
   */
  public <I, O> ActorAction<I, O> action(Action<I, O> action) {
    return new ActorAction<>(this, action);
  }

  /**
   * An actor in the system of whoever uses the id.
   *
   * @param type the actor type
   * @param key which actor of the type
   * @return the id
   */
  public static ActorId of(String type, String key) {
    return new ActorId("", type, key);
  }

  /** Prints {@code Type/key}, with the system in front where one is named. */
  @Override
  public String toString() {
    return system.isEmpty() ? type + "/" + key : system + ":" + type + "/" + key;
  }
}
