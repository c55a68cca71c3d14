package io.callboard.sdk;

import java.util.Objects;

/** One actor as a caller sees it. Generated references extend it with a method for each action. */
public abstract class ActorRef {
  private final Caller caller;
  private final ActorId id;

  /**
   * For generated code.
   *
   * @param caller who calls
   * @param id whom
   */
  protected ActorRef(Caller caller, ActorId id) {
    this.caller = Objects.requireNonNull(caller, "caller");
    this.id = Objects.requireNonNull(id, "id");
  }

  /**
   * Which actor this is.
   *
   * @return its id
   */
  public final ActorId id() {
    return id;
  }

  /**
   * An action of this actor, as a value: for calls that are described and made later.
   *
   * @param action the action, a constant of the type's definition
   * @param <I> the type of the argument
   * @param <O> the type of the reply
   * @return the action of this actor
   */
  public final <I, O> ActorAction<I, O> action(Action<I, O> action) {
    return id.action(action);
  }

  /**
   * Who calls.
   *
   * @return the client, context or test kit that the reference was made with
   */
  protected final Caller caller() {
    return caller;
  }

  /** Prints the actor's id. */
  @Override
  public String toString() {
    return id.toString();
  }
}
