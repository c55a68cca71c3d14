package io.callboard.sdk;

import java.time.Duration;
import java.util.concurrent.CancellationException;

/**
 * Tells an action that nobody waits for its turn any longer. An action that ends by throwing after that is answered as
 * cancelled and its changes are discarded; one that still returns normally is committed if the node accepts it.
 */
public interface CancellationToken {
  /**
   * Whether the turn is cancelled.
   *
   * @return true from the moment of cancellation on
   */
  boolean isCancelled();

  /**
   * Leaves the action if the turn is cancelled.
   *
   * @throws CancellationException if it is
   */
  void throwIfCancelled();

  /**
   * Runs something at the moment of cancellation, or at once if that has passed. It runs on a thread of the SDK and
   * must not block; {@code onCancel(Thread.currentThread()::interrupt)} is a way to leave blocking code.
   *
   * @param callback what to run
   */
  void onCancel(Runnable callback);

  /**
   * Waits, but not beyond the cancellation.
   *
   * @param duration how long
   * @throws CancellationException if the turn is cancelled before the time is over
   */
  void sleep(Duration duration);
}
