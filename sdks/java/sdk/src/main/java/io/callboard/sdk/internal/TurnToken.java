package io.callboard.sdk.internal;

import io.callboard.sdk.CancellationToken;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CancellationException;
import java.util.concurrent.Executor;

/** The cancellation of one turn. Made with the turn, dropped with it. */
public final class TurnToken implements CancellationToken {
  private final Executor callbackRunner;
  private volatile boolean cancelled;
  private List<Runnable> callbacks;

  /**
   * Makes a token.
   *
   * @param callbackRunner runs the callbacks of user code; never the event loop
   */
  public TurnToken(Executor callbackRunner) {
    this.callbackRunner = callbackRunner;
  }

  /** Cancels the turn. Again has no effect. */
  public void cancel() {
    List<Runnable> due;
    synchronized (this) {
      if (cancelled) {
        return;
      }
      cancelled = true;
      due = callbacks;
      callbacks = null;
      notifyAll();
    }
    if (due != null) {
      due.forEach(callbackRunner::execute);
    }
  }

  @Override
  public boolean isCancelled() {
    return cancelled;
  }

  @Override
  public void throwIfCancelled() {
    if (cancelled) {
      throw new CancellationException("the turn is cancelled");
    }
  }

  @Override
  public void onCancel(Runnable callback) {
    synchronized (this) {
      if (!cancelled) {
        if (callbacks == null) {
          callbacks = new ArrayList<>(1);
        }
        callbacks.add(callback);
        return;
      }
    }
    callback.run();
  }

  @Override
  public void sleep(Duration duration) {
    long end = System.nanoTime() + duration.toNanos();
    synchronized (this) {
      long left = end - System.nanoTime();
      while (left > 0 && !cancelled) {
        try {
          // Whole milliseconds, rounded up: waiting for 0 would be waiting for ever.
          wait(left / 1_000_000 + 1);
        } catch (InterruptedException e) {
          Thread.currentThread().interrupt();
          throw new CancellationException("interrupted while waiting");
        }
        left = end - System.nanoTime();
      }
    }
    throwIfCancelled();
  }
}
