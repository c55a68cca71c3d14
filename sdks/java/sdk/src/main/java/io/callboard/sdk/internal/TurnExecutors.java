package io.callboard.sdk.internal;

import java.lang.reflect.InvocationTargetException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.ForkJoinWorkerThread;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** Chooses the threads that turns run on. */
public final class TurnExecutors {
  private TurnExecutors() {}

  /**
   * An executor for turns: one virtual thread for each where the JVM has them, else a pool that adds a thread for each
   * one that waits for a call inside a turn, so that waiting turns never keep the turns they wait for from running.
   *
   * @param threads how many turns run at the same time in a pool
   * @param waitingMax how many more may wait for calls
   * @return the executor; its owner shuts it down
   */
  public static ExecutorService create(int threads, int waitingMax) {
    ExecutorService virtual = virtualThreads();
    return virtual != null ? virtual : pool(threads, waitingMax);
  }

  /** Virtual threads are final in Java 21; the SDK is built for 17 and looks them up. */
  private static ExecutorService virtualThreads() {
    if (Runtime.version().feature() < 21) {
      return null;
    }
    try {
      return (ExecutorService) Executors.class.getMethod("newVirtualThreadPerTaskExecutor").invoke(null);
    } catch (NoSuchMethodException | IllegalAccessException | InvocationTargetException e) {
      return null;
    }
  }

  private static ExecutorService pool(int threads, int waitingMax) {
    AtomicInteger number = new AtomicInteger();
    ForkJoinPool.ForkJoinWorkerThreadFactory factory =
        pool -> {
          ForkJoinWorkerThread thread = ForkJoinPool.defaultForkJoinWorkerThreadFactory.newThread(pool);
          thread.setName("callboard-turn-" + number.incrementAndGet());
          thread.setDaemon(true);
          return thread;
        };
    return new ForkJoinPool(
        threads,
        factory,
        null,
        true, // first in, first out
        threads,
        threads + waitingMax,
        threads,
        pool -> true,
        60,
        TimeUnit.SECONDS);
  }
}
