package io.callboard.sdk.internal;

import io.callboard.gateway.v1.GatewayServiceMethods;
import io.callboard.gateway.v1.InvokeRequest;
import io.callboard.gateway.v1.InvokeResponse;
import io.callboard.gateway.v1.InvokeStreamRequest;
import io.callboard.gateway.v1.InvokeStreamResponse;
import io.callboard.gateway.v1.StreamCall;
import io.callboard.gateway.v1.StreamReply;
import io.callboard.sdk.CallException;
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.Status;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.BiConsumer;

/** The calls of a client to one node over one stream, those of one tick in one message. Lives on the event loop. */
final class StreamTransport {
  private static final int MESSAGE_BYTES_MAX = 1024 * 1024;
  private static final int MESSAGES_AHEAD = 4;

  private record Pending(BiConsumer<InvokeResponse, CallException> done) {}

  private final Link link;
  private final Loop loop;
  private final Map<Long, Pending> pending = new HashMap<>();
  private final ArrayDeque<StreamCall> calls = new ArrayDeque<>();
  private final ArrayDeque<Long> cancels = new ArrayDeque<>();
  private ClientCall<InvokeStreamRequest, InvokeStreamResponse> stream;
  private boolean flushScheduled;
  private long lastStreamId;

  StreamTransport(Link link) {
    this.link = link;
    this.loop = link.loop();
  }

  /** Sends a call in this tick's message. Answers what gives it up. */
  Runnable send(InvokeRequest request, BiConsumer<InvokeResponse, CallException> done) {
    long streamId = ++lastStreamId;
    pending.put(streamId, new Pending(done));
    calls.add(StreamCall.newBuilder().setStreamId(streamId).setCall(request).build());
    schedule();
    return () -> {
      if (pending.remove(streamId) != null) {
        cancels.add(streamId);
        schedule();
      }
    };
  }

  private void schedule() {
    if (!flushScheduled) {
      flushScheduled = true;
      loop.nextTick(this::flush);
    }
  }

  private void flush() {
    flushScheduled = false;
    if (calls.isEmpty() && cancels.isEmpty()) {
      return;
    }
    if (stream == null) {
      if (calls.isEmpty()) {
        cancels.clear();
        return;
      }
      open();
    }
    // A stream that could not be opened at all ends inside open(), and takes what was queued with it.
    while (stream != null && stream.isReady() && !(calls.isEmpty() && cancels.isEmpty())) {
      stream.sendMessage(take());
    }
  }

  private InvokeStreamRequest take() {
    InvokeStreamRequest.Builder message = InvokeStreamRequest.newBuilder();
    int bytes = 0;
    while (!calls.isEmpty()) {
      int size = calls.peek().getSerializedSize() + 6;
      if (bytes > 0 && bytes + size > MESSAGE_BYTES_MAX) {
        break;
      }
      bytes += size;
      message.addCalls(calls.poll());
    }
    message.addAllCancels(cancels);
    cancels.clear();
    return message.build();
  }

  private void open() {
    link.reconnectNow();
    ClientCall<InvokeStreamRequest, InvokeStreamResponse> opened =
        link.channel().newCall(GatewayServiceMethods.INVOKE_STREAM, CallOptions.DEFAULT);
    stream = opened;
    Listener listener = new Listener(opened);
    opened.start(listener, new Metadata());
    opened.request(MESSAGES_AHEAD);
    // A node that is there and says nothing would otherwise be waited for.
    loop.later(listener::giveUpIfSilent, Link.CONNECT_TIMEOUT_MS);
  }

  private void closed(ClientCall<?, ?> which, CallException cause) {
    if (which != stream) {
      return;
    }
    stream = null;
    calls.clear();
    cancels.clear();
    List<Pending> lost = new ArrayList<>(pending.values());
    pending.clear();
    lost.forEach(call -> call.done().accept(null, cause));
  }

  private final class Listener extends ClientCall.Listener<InvokeStreamResponse> {
    private final ClientCall<?, ?> mine;
    private volatile boolean connected;

    Listener(ClientCall<?, ?> mine) {
      this.mine = mine;
    }

    void giveUpIfSilent() {
      if (!connected) {
        mine.cancel("no connection within " + Link.CONNECT_TIMEOUT_MS + " ms", null);
      }
    }

    @Override
    public void onMessage(InvokeStreamResponse message) {
      loop.onLoop(
          () -> {
            for (StreamReply reply : message.getRepliesList()) {
              Pending call = pending.remove(reply.getStreamId());
              if (call != null && reply.hasError()) {
                call.done().accept(null, Wire.exception(reply.getError()));
              } else if (call != null) {
                call.done().accept(reply.getResponse(), null);
              }
            }
            mine.request(1);
          });
    }

    @Override
    public void onReady() {
      connected = true;
      loop.onLoop(StreamTransport.this::flush);
    }

    @Override
    public void onClose(Status status, Metadata trailers) {
      loop.onLoop(() -> closed(mine, Statuses.streamLost(status, trailers)));
    }
  }
}
