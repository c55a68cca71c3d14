package io.callboard.sdk.internal;

import io.callboard.sdk.CallException;
import io.callboard.sdk.ErrorCode;
import io.callboard.sdk.RetryAdvice;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.function.BiConsumer;
import java.util.function.Consumer;

/**
 * One logical call: attempts with the same request id until there is an outcome, the error is final, or time is up.
 * Lives on the event loop; its future may be cancelled from any thread.
 *
 * @param <R> what the call answers
 */
final class RetryingCall<R> {
  /** No retry later than this after the call was first made: the server keeps outcomes for twice as long. */
  static final long HORIZON_MS = 5 * 60 * 1_000;

  /**
   * Makes one attempt.
   *
   * @param <R> what the call answers
   */
  interface Sender<R> {
    /**
     * Sends the call, on the event loop.
     *
     * @param remainingMs how much time is left, at least 1
     * @param done told the reply or the error, on the event loop, at most once
     * @return gives the attempt up
     */
    Runnable send(long remainingMs, BiConsumer<R, CallException> done);
  }

  /** Completes on the event loop; cancelling it cancels the call. */
  final class Future extends CompletableFuture<R> {
    @Override
    public boolean cancel(boolean mayInterrupt) {
      boolean cancelled = super.cancel(mayInterrupt);
      if (cancelled) {
        loop.onLoop(RetryingCall.this::release);
      }
      return cancelled;
    }

    @Override
    public <U> CompletableFuture<U> newIncompleteFuture() {
      return new CompletableFuture<>();
    }
  }

  private final Loop loop;
  private final Sender<R> sender;
  private final String name;
  private final boolean retry;
  private final long deadlineNanos;
  private final long horizonNanos;
  private final Future future = new Future();
  private int failures;
  private int attempt;
  private CallException lastFailure;
  private Consumer<RetryingCall<?>> whenOver = call -> {};
  private Runnable cancelAttempt;
  private Runnable cancelTimer;
  private Runnable cancelRetry;

  RetryingCall(Loop loop, String name, long timeoutMs, long ageMs, boolean retry, Sender<R> sender) {
    this.loop = loop;
    this.name = name;
    this.sender = sender;
    this.retry = retry;
    long now = System.nanoTime();
    this.deadlineNanos = now + timeoutMs * 1_000_000;
    this.horizonNanos = now + (HORIZON_MS - ageMs) * 1_000_000;
  }

  Future future() {
    return future;
  }

  /** Makes the first attempt. On the event loop, where the call also says that it is over. */
  void start(Consumer<RetryingCall<?>> over) {
    if (future.isDone()) {
      over.accept(this);
      return;
    }
    whenOver = over;
    cancelTimer = loop.later(this::expire, Math.max(1, remainingMs()));
    attempt();
  }

  private void attempt() {
    cancelRetry = null;
    if (future.isDone()) {
      return;
    }
    int number = ++attempt;
    Runnable cancel = sender.send(Math.max(1, remainingMs()), (reply, error) -> settle(number, reply, error));
    if (!future.isDone() && cancelRetry == null) {
      cancelAttempt = cancel;
    }
  }

  private void settle(int number, R reply, CallException error) {
    if (future.isDone() || number != attempt) {
      return;
    }
    cancelAttempt = null;
    if (error == null) {
      finish();
      future.complete(reply);
      return;
    }
    failures++;
    lastFailure = error;
    long advisedMs = error.retryAfter().toMillis();
    long delayMs = Math.max(Loop.backoffMs(failures), advisedMs);
    boolean tooLate =
        advisedMs > 0 && advisedMs >= remainingMs()
            || System.nanoTime() + delayMs * 1_000_000 > horizonNanos;
    if (!retry || error.retry() == RetryAdvice.NEVER || tooLate) {
      finish();
      future.completeExceptionally(error);
    } else if (delayMs < remainingMs()) {
      cancelRetry = loop.later(this::attempt, delayMs);
    }
    // Else the deadline comes first, and ends the call.
  }

  private void expire() {
    if (future.isDone()) {
      return;
    }
    release();
    String last = lastFailure == null ? "" : "; the last failure was: " + lastFailure.reason() + " "
        + lastFailure.getMessage();
    future.completeExceptionally(
        new CallException(
            ErrorCode.DEADLINE_EXCEEDED,
            "DEADLINE_EXCEEDED",
            name + " had no outcome in time; it may have run, a retry with the same request id is safe" + last,
            RetryAdvice.SAME_ID));
  }

  /** Fails the call because its client is closed. On the event loop. */
  void close() {
    release();
    future.completeExceptionally(
        new CallException(
            ErrorCode.CANCELLED,
            "CLIENT_CLOSED",
            "the client was closed before " + name + " had an outcome; it may have run",
            RetryAdvice.SAME_ID));
  }

  private void release() {
    finish();
    if (cancelAttempt != null) {
      cancelAttempt.run();
      cancelAttempt = null;
    }
  }

  private void finish() {
    whenOver.accept(this);
    if (cancelTimer != null) {
      cancelTimer.run();
    }
    if (cancelRetry != null) {
      cancelRetry.run();
    }
  }

  private long remainingMs() {
    return (deadlineNanos - System.nanoTime()) / 1_000_000;
  }

  /** Waits for the future, and gives its error the trace of the waiting thread. */
  static <R> R await(CompletableFuture<R> future, String name) {
    try {
      return future.get();
    } catch (InterruptedException e) {
      future.cancel(true);
      Thread.currentThread().interrupt();
      throw new CancellationException("interrupted while waiting for " + name);
    } catch (java.util.concurrent.ExecutionException e) {
      if (e.getCause() instanceof RuntimeException error) {
        error.addSuppressed(new IllegalStateException("while waiting for " + name));
        throw error;
      }
      throw new IllegalStateException(e.getCause());
    }
  }
}
