package io.callboard.sdk.internal;

import io.grpc.netty.shaded.io.netty.channel.EventLoop;
import io.grpc.netty.shaded.io.netty.channel.EventLoopGroup;
import io.grpc.netty.shaded.io.netty.channel.nio.NioEventLoopGroup;
import io.grpc.netty.shaded.io.netty.util.concurrent.DefaultThreadFactory;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

/**
 * The one event loop of a host or a client, which serves all of its connections. All mutable state of links, sessions and
 * transports is touched on it only; code of the user never runs there, because a blocked loop answers no pings.
 */
public final class Loop {
  private static final long BACKOFF_FIRST_MS = 50;
  private static final long BACKOFF_MAX_MS = 5_000;

  private final NioEventLoopGroup group;
  private final EventLoop loop;

  /**
   * Prepares the loop; its thread starts with the first task.
   *
   * @param threadName names the thread
   */
  public Loop(String threadName) {
    group = new NioEventLoopGroup(1, new DefaultThreadFactory(threadName, true));
    loop = group.next();
  }

  EventLoopGroup group() {
    return group;
  }

  /**
   * Runs something on the event loop: at once if this is its thread, never if the loop is closed.
   *
   * @param task what to run
   */
  public void onLoop(Runnable task) {
    if (loop.inEventLoop()) {
      task.run();
    } else {
      nextTick(task);
    }
  }

  /**
   * Runs something in the event loop's next tick, so that what accumulates until then goes out together.
   *
   * @param task what to run
   */
  public void nextTick(Runnable task) {
    try {
      loop.execute(task);
    } catch (RejectedExecutionException closed) {
      // Whatever belonged to the loop was ended when it was closed.
    }
  }

  /**
   * Runs something on the event loop later.
   *
   * @param task what to run
   * @param delayMs how much later, in milliseconds
   * @return cancels it
   */
  public Runnable later(Runnable task, long delayMs) {
    try {
      var scheduled = loop.schedule(task, delayMs, TimeUnit.MILLISECONDS);
      return () -> scheduled.cancel(false);
    } catch (RejectedExecutionException closed) {
      return () -> {};
    }
  }

  /** Ends the loop. */
  public void close() {
    group.shutdownGracefully(0, 500, TimeUnit.MILLISECONDS);
  }

  /**
   * How long to wait before trying again: exponential with full jitter.
   *
   * @param failures how many tries have failed in a row, at least 1
   * @return milliseconds
   */
  public static long backoffMs(int failures) {
    long ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS << Math.min(failures - 1, 10));
    return ThreadLocalRandom.current().nextLong(ceiling + 1);
  }
}
