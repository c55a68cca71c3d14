package io.callboard.sdk;

import java.util.Objects;
import java.util.concurrent.CompletionStage;

/**
 * What an action answers: a value, or a value that comes later. Made by {@link ReadContext#reply(Object)}.
 *
 * @param <T> the type of the value
 */
public final class Reply<T> {
  private final T value;
  private final CompletionStage<? extends T> stage;

  private Reply(T value, CompletionStage<? extends T> stage) {
    this.value = value;
    this.stage = stage;
  }

  /**
   * Answers now.
   *
   * @param value the reply; null if the action answers nothing
   * @param <T> its type
   * @return the reply
   */
  public static <T> Reply<T> of(T value) {
    return new Reply<>(value, null);
  }

  /**
   * Answers when the stage completes. The turn lasts until then, and so does the context.
   *
   * @param stage completes with the reply, or with the error that the turn ends with
   * @param <T> its type
   * @return the reply
   */
  public static <T> Reply<T> later(CompletionStage<? extends T> stage) {
    return new Reply<>(null, Objects.requireNonNull(stage, "stage"));
  }

  /**
   * The value, if {@link #stage()} is null.
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
