package io.callboard.sdk.internal;

import io.grpc.ManagedChannel;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.shaded.io.netty.channel.ChannelOption;
import io.grpc.netty.shaded.io.netty.channel.socket.nio.NioSocketChannel;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/** A connection to one node, on the event loop of its owner. */
public final class Link {
  /** Where the server listens if nobody says otherwise. */
  public static final String DEFAULT_SERVER = "127.0.0.1:7070";
  /** Longest wait for a connection. */
  static final int CONNECT_TIMEOUT_MS = 5_000;
  private static final int INBOUND_BYTES_MAX = 64 * 1024 * 1024;

  private final Loop loop;
  private final String address;
  private final ManagedChannel channel;

  /**
   * Prepares a connection; it is made when the first stream needs it.
   *
   * @param loop serves the connection
   * @param address host:port
   * @param failover true if other nodes can answer in place of this one, so that a silent one is left sooner: early
   *     enough for its calls to be answered inside the default timeout
   * @throws IllegalArgumentException if the address is none
   */
  public Link(Loop loop, String address, boolean failover) {
    this.loop = loop;
    this.address = address;
    Executor direct = Runnable::run;
    channel =
        NettyChannelBuilder.forTarget(address)
            .eventLoopGroup(loop.group())
            .channelType(NioSocketChannel.class)
            .withOption(ChannelOption.CONNECT_TIMEOUT_MILLIS, CONNECT_TIMEOUT_MS)
            .usePlaintext()
            .executor(direct)
            .maxInboundMessageSize(INBOUND_BYTES_MAX)
            .keepAliveTime(failover ? 10 : 20, TimeUnit.SECONDS)
            .keepAliveTimeout(failover ? 5 : 10, TimeUnit.SECONDS)
            .keepAliveWithoutCalls(true)
            .build();
  }

  /**
   * The nodes' addresses, each once and in their order: what the program says, else what CALLBOARD_SERVER says, else the
   * default.
   *
   * @param given texts with one address or several between commas; empty if the program says nothing
   * @return at least one host:port
   */
  public static List<String> servers(List<String> given) {
    List<String> named = split(given.stream());
    if (named.isEmpty()) {
      named = split(Stream.ofNullable(System.getenv("CALLBOARD_SERVER")));
    }
    return named.isEmpty() ? List.of(DEFAULT_SERVER) : named;
  }

  private static List<String> split(Stream<String> texts) {
    return texts
        .flatMap(text -> Arrays.stream(text.split(",")))
        .map(String::strip)
        .filter(text -> !text.isEmpty())
        .distinct()
        .toList();
  }

  /**
   * The loop that serves the connection.
   *
   * @return never null
   */
  public Loop loop() {
    return loop;
  }

  /**
   * The node's address.
   *
   * @return host:port
   */
  public String address() {
    return address;
  }

  /**
   * The channel.
   *
   * @return never null
   */
  public ManagedChannel channel() {
    return channel;
  }

  /** Lets the next stream connect at once, whatever the channel's own backoff says: ours decides. */
  public void reconnectNow() {
    channel.resetConnectBackoff();
  }

  /** Closes the connection. */
  public void close() {
    channel.shutdownNow();
  }
}
