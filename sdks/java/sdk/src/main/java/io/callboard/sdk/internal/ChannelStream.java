package io.callboard.sdk.internal;

import io.callboard.gateway.v1.SubscribeRequest;
import io.callboard.gateway.v1.SubscribeResponse;
import io.callboard.sdk.CallException;
import io.callboard.sdk.RetryAdvice;
import java.util.ArrayDeque;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;

/**
 * One subscription below its typed surface: a stream that is opened again whenever it breaks, and a bounded queue of what
 * was heard and not taken yet. A full queue asks the node for no more, so that the node knows who is slow.
 *
 * <p>The stream lives on the event loop; the queue is shared with whoever takes, under the lock of this object.
 */
public final class ChannelStream {
  /** Most items that were heard, or asked for, and not taken yet. */
  static final int ITEMS_AHEAD = 256;

  /** Opens streams; the client does. */
  interface Opener {
    /**
     * Opens a stream at the node in use, on the event loop.
     *
     * @param request what to hear and from where on
     * @param heard told each item, on the event loop
     * @param ended told why the stream ended, once, on the event loop
     * @return the open stream
     */
    Opened open(SubscribeRequest request, Consumer<SubscribeResponse> heard, Consumer<CallException> ended);
  }

  /** An open stream. */
  interface Opened {
    /** Asks for more items. */
    void request(int items);

    /** Ends the stream. */
    void cancel();
  }

  private final Loop loop;
  private final Opener opener;
  private final Consumer<ChannelStream> whenOver;

  // On the event loop.
  private SubscribeRequest request;
  private Opened stream;
  private int requested;
  private int failures;
  private boolean waiting = true;
  /** Tells what comes from the present stream from what comes late of an earlier one. */
  private int number;

  // Under the lock.
  private final ArrayDeque<SubscribeResponse> items = new ArrayDeque<>();
  private boolean held;
  private String firstToken = "";
  private boolean closed;
  private CallException failure;

  ChannelStream(Loop loop, SubscribeRequest request, Opener opener, Consumer<ChannelStream> whenOver) {
    this.loop = loop;
    this.request = request;
    this.opener = opener;
    this.whenOver = whenOver;
  }

  // === for whoever takes ===

  /**
   * Waits for an item.
   *
   * @param nanos how long at most
   * @return null if none came in time, or the subscription is closed
   * @throws CallException if the subscription ended by an error that no retry can help
   * @throws InterruptedException if the thread is interrupted
   */
  public SubscribeResponse take(long nanos) throws InterruptedException {
    SubscribeResponse item;
    synchronized (this) {
      await(nanos, () -> !items.isEmpty());
      item = closed ? null : items.poll();
      if (item == null && failure != null) {
        throw failure;
      }
    }
    if (item != null) {
      loop.onLoop(this::proceed);
    }
    return item;
  }

  /**
   * Waits until a node said that the subscription holds.
   *
   * @param nanos how long at most
   * @return false if none did in time
   * @throws CallException if the subscription ended by an error that no retry can help
   * @throws InterruptedException if the thread is interrupted
   */
  public synchronized boolean awaitHeld(long nanos) throws InterruptedException {
    await(nanos, () -> held);
    if (!held && failure != null) {
      throw failure;
    }
    return held;
  }

  private void await(long nanos, BooleanSupplier there) throws InterruptedException {
    long start = System.nanoTime();
    while (!there.getAsBoolean() && !closed && failure == null) {
      long leftMs = (nanos - (System.nanoTime() - start)) / 1_000_000;
      if (leftMs <= 0) {
        return;
      }
      wait(leftMs);
    }
  }

  /**
   * Where the subscription was when it first held.
   *
   * @return empty until it held
   */
  public synchronized String firstToken() {
    return firstToken;
  }

  /** Ends the subscription, from any thread. */
  public void close() {
    synchronized (this) {
      closed = true;
      notifyAll();
    }
    loop.onLoop(this::leave);
  }

  // === on the event loop ===

  /** Opens the stream if there is room for what comes, or asks for more. */
  void proceed() {
    int room;
    synchronized (this) {
      if (closed || failure != null) {
        return;
      }
      room = ITEMS_AHEAD - items.size() - requested;
    }
    if (room <= 0) {
      return;
    }
    if (stream == null && waiting) {
      waiting = false;
      open();
    }
    // A stream that could not be opened at all has ended by now.
    if (stream != null) {
      requested += room;
      stream.request(room);
    }
  }

  private void open() {
    int mine = ++number;
    boolean[] over = new boolean[1];
    Opened opened =
        opener.open(
            request,
            item -> {
              if (mine == number) {
                heard(item);
              }
            },
            cause -> {
              over[0] = true;
              if (mine == number) {
                ended(cause);
              }
            });
    stream = over[0] ? null : opened;
  }

  private void heard(SubscribeResponse item) {
    requested--;
    failures = 0;
    switch (item.getItemCase()) {
      case SUBSCRIBED -> {
        continueAfter(item.getSubscribed().getResumeToken());
        synchronized (this) {
          firstToken = held ? firstToken : item.getSubscribed().getResumeToken();
          held = true;
          notifyAll();
        }
        proceed();
      }
      case MESSAGE -> {
        continueAfter(item.getMessage().getResumeToken());
        add(item);
      }
      case MISSED -> add(item);
      default -> proceed();
    }
  }

  private void continueAfter(String token) {
    request = request.toBuilder().setResumeToken(token).build();
  }

  private synchronized void add(SubscribeResponse item) {
    items.add(item);
    notifyAll();
  }

  private void ended(CallException cause) {
    stream = null;
    number++;
    requested = 0;
    synchronized (this) {
      if (closed) {
        return;
      }
      if (cause.retry() == RetryAdvice.NEVER) {
        failure = cause;
        notifyAll();
        whenOver.accept(this);
        return;
      }
    }
    failures++;
    long delayMs = Math.max(Loop.backoffMs(failures), cause.retryAfter().toMillis());
    loop.later(
        () -> {
          waiting = true;
          proceed();
        },
        delayMs);
  }

  private void leave() {
    whenOver.accept(this);
    if (stream != null) {
      stream.cancel();
      stream = null;
      number++;
    }
  }
}
