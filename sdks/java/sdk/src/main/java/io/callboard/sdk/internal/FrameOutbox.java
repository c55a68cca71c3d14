package io.callboard.sdk.internal;

import io.callboard.host.v1.ConnectRequest;
import io.callboard.host.v1.HostFrame;
import io.grpc.ClientCall;
import java.util.ArrayDeque;

/**
 * The frames on their way to the node. Any thread adds; the event loop takes whatever has accumulated since its last
 * tick and sends it as one message. While the transport is congested frames gather here; the credits bound them.
 */
final class FrameOutbox {
  private final Loop loop;
  private final ClientCall<ConnectRequest, ?> call;
  private final ArrayDeque<HostFrame> frames = new ArrayDeque<>();
  private int messageBytesMax = 1024 * 1024;
  private boolean scheduled;
  private boolean closed;
  private Runnable whenEmpty;

  FrameOutbox(Loop loop, ClientCall<ConnectRequest, ?> call) {
    this.loop = loop;
    this.call = call;
  }

  /** Keeps messages below what the node takes. */
  synchronized void limit(int bytesMax) {
    if (bytesMax > 0) {
      messageBytesMax = Math.min(messageBytesMax, bytesMax);
    }
  }

  void add(HostFrame frame) {
    synchronized (this) {
      if (closed) {
        return;
      }
      frames.add(frame);
      if (scheduled) {
        return;
      }
      scheduled = true;
    }
    loop.nextTick(this::flush);
  }

  /** Sends what there is, then runs the action once everything is handed to the transport. */
  void thenWhenEmpty(Runnable action) {
    synchronized (this) {
      whenEmpty = action;
    }
    loop.onLoop(this::flush);
  }

  /** Drops what is left; nothing is taken any more. */
  synchronized void close() {
    closed = true;
    frames.clear();
    whenEmpty = null;
  }

  /** On the event loop. Stops while the transport is congested; its readiness callback calls again. */
  void flush() {
    while (true) {
      ConnectRequest message;
      Runnable finished = null;
      synchronized (this) {
        if (closed) {
          return;
        }
        if (frames.isEmpty()) {
          scheduled = false;
          finished = whenEmpty;
          whenEmpty = null;
          message = null;
        } else if (!call.isReady()) {
          scheduled = false;
          return;
        } else {
          message = take();
        }
      }
      if (message == null) {
        if (finished != null) {
          finished.run();
        }
        return;
      }
      call.sendMessage(message);
    }
  }

  private ConnectRequest take() {
    ConnectRequest.Builder message = ConnectRequest.newBuilder();
    // The tag and length of a repeated field of this size take at most 6 bytes.
    int bytes = 0;
    while (!frames.isEmpty()) {
      int size = frames.peek().getSerializedSize() + 6;
      if (bytes > 0 && bytes + size > messageBytesMax) {
        break;
      }
      bytes += size;
      message.addFrames(frames.poll());
    }
    return message.build();
  }
}
