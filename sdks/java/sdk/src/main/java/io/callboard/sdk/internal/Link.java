package io.callboard.sdk.internal;

import io.grpc.ManagedChannel;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.shaded.io.netty.channel.EventLoop;
import io.grpc.netty.shaded.io.netty.channel.nio.NioEventLoopGroup;
import io.grpc.netty.shaded.io.netty.channel.socket.nio.NioSocketChannel;
import io.grpc.netty.shaded.io.netty.util.concurrent.DefaultThreadFactory;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

/**
 * A connection to a node and the one event loop that serves it. All mutable state of sessions and transports is touched
 * on that loop only; code of the user never runs there, because a blocked loop answers no pings.
 */
public final class Link {
  /** Where the server listens if nobody says otherwise. */
  public static final String DEFAULT_SERVER = "127.0.0.1:7070";
  private static final int INBOUND_BYTES_MAX = 64 * 1024 * 1024;
  private static final long BACKOFF_FIRST_MS = 50;
  private static final long BACKOFF_MAX_MS = 5_000;

  private final NioEventLoopGroup group;
  private final EventLoop loop;
  private final ManagedChannel channel;

  /**
   * Prepares a connection; it is made when the first stream needs it.
   *
   * @param server host:port
   * @param threadName names the event loop's thread
   */
  public Link(String server, String threadName) {
    group = new NioEventLoopGroup(1, new DefaultThreadFactory(threadName, true));
    loop = group.next();
    Executor direct = Runnable::run;
    channel =
        NettyChannelBuilder.forTarget(server)
            .eventLoopGroup(group)
            .channelType(NioSocketChannel.class)
            .usePlaintext()
            .executor(direct)
            .maxInboundMessageSize(INBOUND_BYTES_MAX)
            .keepAliveTime(20, TimeUnit.SECONDS)
            .keepAliveTimeout(10, TimeUnit.SECONDS)
            .keepAliveWithoutCalls(true)
            .build();
  }

  /**
   * The server's address: what the program says, else what CALLBOARD_SERVER says, else the default.
   *
   * @param given null if the program says nothing
   * @return host:port
   */
  public static String server(String given) {
    if (given != null) {
      return given;
    }
    String fromEnvironment = System.getenv("CALLBOARD_SERVER");
    return fromEnvironment == null || fromEnvironment.isBlank() ? DEFAULT_SERVER : fromEnvironment;
  }

  /**
   * The channel.
   *
   * @return never null
   */
  public ManagedChannel channel() {
    return channel;
  }

  /**
   * Runs something on the event loop: at once if this is its thread, never if the link is closed.
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
      // Whatever belonged to the link was ended when it was closed.
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

  /** Lets the next stream connect at once, whatever the channel's own backoff says: ours decides. */
  public void reconnectNow() {
    channel.resetConnectBackoff();
  }

  /** Closes the connection and ends the loop. */
  public void close() {
    channel.shutdownNow();
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
