package io.callboard.sdk;

import java.util.Objects;
import java.util.concurrent.CompletionStage;

/**
 * What an action answers: a value, a value that comes later, or what another actor answers. Made by {@link
 * ReadContext#reply(Object)}, {@link Context#pipe} and {@link Context#forward}.
 *
 * @param <T> the type of the value
 */
public final class Reply<T> {
  private final T value;
  private final CompletionStage<? extends T> stage;
  private final Next<T> next;

  private Reply(T value, CompletionStage<? extends T> stage, Next<T> next) {
    this.value = value;
    this.stage = stage;
    this.next = next;
  }

  /**
   * Another actor that answers.
   *
   * @param call whom to call, with the argument of a pipe
   * @param forwards true if it gets the turn's own argument instead
   * @param <T> the type of the reply
   */
  public record Next<T>(ActorCall<?, T> call, boolean forwards) {}

  /**
   * Answers now.
   *
   * @param value the reply; null if the action answers nothing
   * @param <T> its type
   * @return the reply
   */
  public static <T> Reply<T> of(T value) {
    return new Reply<>(value, null, null);
  }

  /**
   * Answers when the stage completes. The turn lasts until then, and so does the context.
   *
   * @param stage completes with the reply, or with the error that the turn ends with
   * @param <T> its type
   * @return the reply
   */
  public static <T> Reply<T> later(CompletionStage<? extends T> stage) {
    return new Reply<>(null, Objects.requireNonNull(stage, "stage"), null);
  }

  /**
   * Leaves the answer to another actor, which gets the argument of the call. The same as {@link Context#pipe}.
   *
   * @param call the next actor's action with its argument
   * @param <T> the type of the reply
   * @return the reply
   */
  public static <T> Reply<T> pipe(ActorCall<?, T> call) {
    if (!call.metadata().isEmpty()) {
      throw new IllegalArgumentException("a pipe goes on with the metadata of the turn and has none of its own");
    }
    return new Reply<>(null, null, new Next<>(call, false));
  }

  /**
   * Leaves the answer to another actor, which gets the turn's own argument. The same as {@link Context#forward}.
   *
   * @param action the next actor's action
   * @param <T> the type of the reply
   * @return the reply
   */
  public static <T> Reply<T> forward(ActorAction<?, T> action) {
    return new Reply<>(null, null, new Next<>(action.with(null), true));
  }

  /**
   * The actor that answers in this one's place.
   *
   * @return null if this one answers
   */
  public Next<T> next() {
    return next;
  }

  /**
   * The value, if {@link #stage()} and {@link #next()} are null.
   *
   * @return the reply
   */
  public T value() {
    return value;
  }

  /**
   * The stage that brings the value.
   *
   * @return null if the value is there
   */
  public CompletionStage<? extends T> stage() {
    return stage;
  }
}
