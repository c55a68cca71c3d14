package io.callboard.sdk.support;

import io.callboard.gateway.v1.GatewayServiceMethods;
import io.callboard.gateway.v1.InvokeRequest;
import io.callboard.gateway.v1.InvokeResponse;
import io.callboard.gateway.v1.InvokeStreamRequest;
import io.callboard.gateway.v1.InvokeStreamResponse;
import io.callboard.gateway.v1.StreamCall;
import io.callboard.gateway.v1.StreamReply;
import io.callboard.host.v1.ConnectRequest;
import io.callboard.host.v1.ConnectResponse;
import io.callboard.host.v1.HostServiceMethods;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerServiceDefinition;
import io.grpc.Status;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** A node that does what a test tells it: hands out host sessions and gateway calls as they come. */
public final class FakeNode implements AutoCloseable {
  /** How long a test waits for anything before it fails. */
  public static final long PATIENCE_S = 20;

  private final BlockingQueue<FakeSession> sessions = new LinkedBlockingQueue<>();
  private final BlockingQueue<FakeCall> calls = new LinkedBlockingQueue<>();
  private final Server server;

  /** Starts on a free port. */
  public FakeNode() {
    this(0);
  }

  /** Starts on this port. */
  public FakeNode(int port) {
    ServerServiceDefinition hosts =
        ServerServiceDefinition.builder("callboard.host.v1.HostService")
            .addMethod(HostServiceMethods.CONNECT, this::connect)
            .build();
    ServerServiceDefinition gateway =
        ServerServiceDefinition.builder("callboard.gateway.v1.GatewayService")
            .addMethod(GatewayServiceMethods.INVOKE_STREAM, this::invokeStream)
            .addMethod(GatewayServiceMethods.INVOKE, this::invoke)
            .addMethod(GatewayServiceMethods.SPAWN, unimplemented())
            .addMethod(GatewayServiceMethods.GET_STATE, unimplemented())
            .build();
    try {
      server =
          NettyServerBuilder.forAddress(new InetSocketAddress("127.0.0.1", port))
              .executor(Executors.newSingleThreadExecutor(FakeNode::daemon))
              .addService(hosts)
              .addService(gateway)
              .build()
              .start();
    } catch (IOException e) {
      throw new AssertionError(e);
    }
  }

  private static Thread daemon(Runnable task) {
    Thread thread = new Thread(task, "fake-node");
    thread.setDaemon(true);
    return thread;
  }

  /** Where hosts and clients connect. */
  public String address() {
    return "127.0.0.1:" + port();
  }

  /** The port. */
  public int port() {
    return server.getPort();
  }

  /** The next session that a host opens. */
  public FakeSession session() throws InterruptedException {
    return patiently(sessions, "a host session");
  }

  /** The next call that a client makes. */
  public FakeCall call() throws InterruptedException {
    return patiently(calls, "a call");
  }

  /** The next call if it comes soon, else null. */
  public FakeCall callWithin(long milliseconds) throws InterruptedException {
    return calls.poll(milliseconds, TimeUnit.MILLISECONDS);
  }

  /** Takes the next thing, or fails the test. */
  static <T> T patiently(BlockingQueue<T> queue, String what) throws InterruptedException {
    T thing = queue.poll(PATIENCE_S, TimeUnit.SECONDS);
    if (thing == null) {
      throw new AssertionError("waited in vain for " + what);
    }
    return thing;
  }

  @Override
  public void close() {
    server.shutdownNow();
    try {
      server.awaitTermination(PATIENCE_S, TimeUnit.SECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private ServerCall.Listener<ConnectRequest> connect(
      ServerCall<ConnectRequest, ConnectResponse> call, Metadata headers) {
    FakeSession session = new FakeSession(call);
    call.sendHeaders(new Metadata());
    call.request(1);
    sessions.add(session);
    return session.listener();
  }

  private ServerCall.Listener<InvokeStreamRequest> invokeStream(
      ServerCall<InvokeStreamRequest, InvokeStreamResponse> call, Metadata headers) {
    call.sendHeaders(new Metadata());
    call.request(1);
    return new ServerCall.Listener<>() {
      private int messages;

      @Override
      public void onMessage(InvokeStreamRequest message) {
        messages++;
        for (StreamCall one : message.getCallsList()) {
          calls.add(new StreamedCall(call, one, messages));
        }
        for (long cancelled : message.getCancelsList()) {
          calls.add(new Cancellation(cancelled));
        }
        call.request(1);
      }
    };
  }

  private ServerCall.Listener<InvokeRequest> invoke(
      ServerCall<InvokeRequest, InvokeResponse> call, Metadata headers) {
    call.sendHeaders(new Metadata());
    call.request(2);
    return new ServerCall.Listener<>() {
      @Override
      public void onMessage(InvokeRequest message) {
        calls.add(new UnaryCall(call, message));
      }

      @Override
      public void onCancel() {
        calls.add(new Cancellation(0));
      }
    };
  }

  private static <Q, P> ServerCallHandler<Q, P> unimplemented() {
    return (call, headers) -> {
      call.close(Status.UNIMPLEMENTED, new Metadata());
      return new ServerCall.Listener<>() {};
    };
  }

  /** Something that a client sent. */
  public sealed interface FakeCall {
    /** The call. */
    default InvokeRequest request() {
      throw new AssertionError("not a call: " + this);
    }
  }

  /** A call over the stream. */
  public record StreamedCall(
      ServerCall<InvokeStreamRequest, InvokeStreamResponse> stream, StreamCall call, int message)
      implements FakeCall {
    @Override
    public InvokeRequest request() {
      return call.getCall();
    }

    /** Answers it. */
    public void answer(StreamReply.Builder reply) {
      stream.sendMessage(
          InvokeStreamResponse.newBuilder().addReplies(reply.setStreamId(call.getStreamId())).build());
    }

    /** Breaks the stream that it came on. */
    public void breakStream() {
      stream.close(Status.UNAVAILABLE.withDescription("broken by the test"), new Metadata());
    }
  }

  /** A unary call. */
  public record UnaryCall(ServerCall<InvokeRequest, InvokeResponse> call, InvokeRequest request)
      implements FakeCall {
    /** Answers it. */
    public void answer(InvokeResponse response) {
      call.sendMessage(response);
      call.close(Status.OK, new Metadata());
    }

    /** Refuses it. */
    public void refuse(Status status, Metadata trailers) {
      call.close(status, trailers);
    }
  }

  /** The end of a call that its caller no longer wants. */
  public record Cancellation(long streamId) implements FakeCall {}
}
