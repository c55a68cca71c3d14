package io.callboard.sdk.internal;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.function.Function;

/**
 * A call's future as users see it: completes away from the event loop, and cancelling it cancels the call.
 *
 * @param <R> what the call answers
 * @param <O> what the user gets
 */
public final class CallFuture<R, O> extends CompletableFuture<O> {
  private final CompletableFuture<R> call;

  /**
   * Wraps a call.
   *
   * @param call completes on the event loop
   * @param decode makes the user's value of the answer
   */
  public CallFuture(CompletableFuture<R> call, Function<R, O> decode) {
    this.call = call;
    call.whenCompleteAsync(
        (answer, error) -> {
          if (error != null) {
            Throwable cause = error instanceof CompletionException ? error.getCause() : error;
            completeExceptionally(cause);
            return;
          }
          try {
            complete(decode.apply(answer));
          } catch (RuntimeException e) {
            completeExceptionally(e);
          }
        });
  }

  @Override
  public boolean cancel(boolean mayInterrupt) {
    call.cancel(mayInterrupt);
    return super.cancel(mayInterrupt);
  }

  @Override
  public <U> CompletableFuture<U> newIncompleteFuture() {
    return new CompletableFuture<>();
  }
}
