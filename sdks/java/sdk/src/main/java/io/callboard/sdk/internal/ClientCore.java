package io.callboard.sdk.internal;

import io.callboard.gateway.v1.GatewayServiceMethods;
import io.callboard.gateway.v1.InvokeRequest;
import io.callboard.gateway.v1.InvokeResponse;
import io.callboard.gateway.v1.PublishRequest;
import io.callboard.gateway.v1.PublishResponse;
import io.callboard.gateway.v1.SubscribeRequest;
import io.callboard.gateway.v1.SubscribeResponse;
import io.callboard.sdk.CallException;
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.ConnectivityState;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.util.ArrayDeque;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.BiConsumer;
import java.util.function.Consumer;

/**
 * What a client does below its typed surface: starts logical calls in order, over a stream or one by one, at one of the
 * nodes that it knows.
 */
public final class ClientCore {
  /** What the client keeps for a node. */
  private record Connection(Link link, StreamTransport stream) {}

  private final Loop loop = new Loop("callboard-client");
  private final boolean streaming;
  /** On the event loop only. */
  private final Nodes<Connection> nodes;
  private final ArrayDeque<RetryingCall<?>> starting = new ArrayDeque<>();
  /** On the event loop only. */
  private final Set<RetryingCall<?>> active = new LinkedHashSet<>();
  /** On the event loop only. */
  private final Set<ChannelStream> subscriptions = new LinkedHashSet<>();
  private boolean scheduled;
  private boolean closed;

  /**
   * Prepares a client. Connects when the first call needs it.
   *
   * @param addresses host:port of the nodes
   * @param streaming true to send all calls over one stream
   */
  public ClientCore(List<String> addresses, boolean streaming) {
    this.streaming = streaming;
    boolean failover = addresses.size() > 1;
    nodes =
        new Nodes<>(
            addresses,
            address -> {
              Link link = new Link(loop, address, failover);
              return new Connection(link, new StreamTransport(link));
            });
  }

  /**
   * Runs an action.
   *
   * @param request the call; its timeout is set for each attempt
   * @param name names the call in errors
   * @param timeoutMs how long it may take, retries included
   * @param retry whether to retry where that is safe
   * @return completes on the event loop, so nothing of the user's may hang on it directly
   */
  public CompletableFuture<InvokeResponse> invoke(
      InvokeRequest request, String name, long timeoutMs, boolean retry) {
    long ageMs = Math.max(0, System.currentTimeMillis() - request.getCreatedAtMs());
    RetryingCall.Sender<InvokeResponse> sender =
        (remainingMs, done) -> {
          InvokeRequest attempt =
              request.toBuilder().setTimeoutMs((int) Math.min(remainingMs, 0xFFFF_FFFFL)).build();
          return streaming
              ? overStream(attempt, done)
              : unary(GatewayServiceMethods.INVOKE, attempt, remainingMs, done);
        };
    return start(new RetryingCall<>(loop, name, timeoutMs, ageMs, retry, sender));
  }

  /**
   * Calls a unary method that is safe to repeat.
   *
   * @param method the method
   * @param request the request
   * @param timeoutMs how long it may take, retries included
   * @param <Q> the request's type
   * @param <P> the response's type
   * @return completes on the event loop
   */
  public <Q, P> CompletableFuture<P> query(MethodDescriptor<Q, P> method, Q request, long timeoutMs) {
    RetryingCall.Sender<P> sender = (remainingMs, done) -> unary(method, request, remainingMs, done);
    return start(new RetryingCall<>(loop, method.getBareMethodName(), timeoutMs, 0, true, sender));
  }

  /**
   * Says something on a channel.
   *
   * @param request the publication; its timeout is set for each attempt
   * @param timeoutMs how long it may take, retries included
   * @param retry whether to retry where that is safe
   * @return completes on the event loop
   */
  public CompletableFuture<PublishResponse> publish(PublishRequest request, long timeoutMs, boolean retry) {
    long ageMs = Math.max(0, System.currentTimeMillis() - request.getCreatedAtMs());
    RetryingCall.Sender<PublishResponse> sender =
        (remainingMs, done) -> {
          PublishRequest attempt =
              request.toBuilder().setTimeoutMs((int) Math.min(remainingMs, 0xFFFF_FFFFL)).build();
          return unary(GatewayServiceMethods.PUBLISH, attempt, remainingMs, done);
        };
    String name = "the publication on " + request.getChannel();
    return start(new RetryingCall<>(loop, name, timeoutMs, ageMs, retry, sender));
  }

  /**
   * Hears what is said on channels.
   *
   * @param request which, and from where on
   * @return the subscription, which is opened in the background
   */
  public ChannelStream subscribe(SubscribeRequest request) {
    ChannelStream made = new ChannelStream(loop, request, this::openStream, subscriptions::remove);
    synchronized (this) {
      if (closed) {
        throw new IllegalStateException("the client is closed");
      }
    }
    loop.nextTick(
        () -> {
          subscriptions.add(made);
          made.proceed();
        });
    return made;
  }

  /** Closes the connection. Calls in flight fail. */
  public void close() {
    synchronized (this) {
      closed = true;
    }
    loop.nextTick(
        () -> {
          startAll();
          List.copyOf(active).forEach(RetryingCall::close);
          List.copyOf(subscriptions).forEach(ChannelStream::close);
          nodes.each(connection -> connection.link().close());
          loop.close();
        });
  }

  private <R> CompletableFuture<R> start(RetryingCall<R> call) {
    synchronized (this) {
      if (closed) {
        throw new IllegalStateException("the client is closed");
      }
      starting.add(call);
      if (scheduled) {
        return call.future();
      }
      scheduled = true;
    }
    loop.nextTick(this::startAll);
    return call.future();
  }

  private void startAll() {
    while (true) {
      RetryingCall<?> call;
      synchronized (this) {
        call = starting.poll();
        if (call == null) {
          scheduled = false;
          return;
        }
      }
      active.add(call);
      call.start(active::remove);
    }
  }

  /** Reports to {@code done}, and moves the client on if the node in use cannot answer. */
  private <P> BiConsumer<P, CallException> watched(BiConsumer<P, CallException> done) {
    String address = nodes.address();
    return (reply, error) -> {
      if (error != null) {
        nodes.failed(address, error);
      }
      done.accept(reply, error);
    };
  }

  private Runnable overStream(InvokeRequest request, BiConsumer<InvokeResponse, CallException> done) {
    BiConsumer<InvokeResponse, CallException> watched = watched(done);
    return nodes.connection().stream().send(request, watched);
  }

  private <Q, P> Runnable unary(
      MethodDescriptor<Q, P> method, Q request, long remainingMs, BiConsumer<P, CallException> whenDone) {
    BiConsumer<P, CallException> done = watched(whenDone);
    Link link = nodes.connection().link();
    link.reconnectNow();
    // A little longer than the caller waits, so that the caller's own deadline is what it sees.
    CallOptions options =
        CallOptions.DEFAULT.withDeadlineAfter(remainingMs + 50, TimeUnit.MILLISECONDS);
    ClientCall<Q, P> call = link.channel().newCall(method, options);
    call.start(
        new ClientCall.Listener<>() {
          private P response;

          @Override
          public void onMessage(P message) {
            response = message;
          }

          @Override
          public void onClose(Status status, Metadata trailers) {
            loop.onLoop(
                () -> {
                  if (status.isOk() && response != null) {
                    done.accept(response, null);
                  } else {
                    done.accept(null, Statuses.exception(status, trailers));
                  }
                });
          }
        },
        new Metadata());
    call.request(2);
    call.sendMessage(request);
    call.halfClose();
    giveUpIfSilent(link, call);
    return () -> call.cancel("nobody waits any longer", null);
  }

  /** A node that is there and says nothing would otherwise be waited for. */
  private void giveUpIfSilent(Link link, ClientCall<?, ?> call) {
    if (link.channel().getState(false) != ConnectivityState.READY) {
      loop.later(
          () -> {
            if (link.channel().getState(false) != ConnectivityState.READY) {
              call.cancel("no connection within " + Link.CONNECT_TIMEOUT_MS + " ms", null);
            }
          },
          Link.CONNECT_TIMEOUT_MS);
    }
  }

  private ChannelStream.Opened openStream(
      SubscribeRequest request, Consumer<SubscribeResponse> heard, Consumer<CallException> ended) {
    String address = nodes.address();
    Link link = nodes.connection().link();
    link.reconnectNow();
    ClientCall<SubscribeRequest, SubscribeResponse> call =
        link.channel().newCall(GatewayServiceMethods.SUBSCRIBE, CallOptions.DEFAULT);
    call.start(
        new ClientCall.Listener<>() {
          @Override
          public void onMessage(SubscribeResponse message) {
            loop.onLoop(() -> heard.accept(message));
          }

          @Override
          public void onClose(Status status, Metadata trailers) {
            loop.onLoop(
                () -> {
                  CallException cause = Statuses.exception(status, trailers);
                  nodes.failed(address, cause);
                  ended.accept(cause);
                });
          }
        },
        new Metadata());
    call.sendMessage(request);
    call.halfClose();
    giveUpIfSilent(link, call);
    return new ChannelStream.Opened() {
      @Override
      public void request(int items) {
        call.request(items);
      }

      @Override
      public void cancel() {
        call.cancel("nobody listens any longer", null);
      }
    };
  }

  /**
   * Waits for a call.
   *
   * @param future what {@link #invoke} or {@link #query} answered
   * @param name names the call in errors
   * @param <R> what the call answers
   * @return the reply
   */
  public static <R> R await(CompletableFuture<R> future, String name) {
    return RetryingCall.await(future, name);
  }
}
