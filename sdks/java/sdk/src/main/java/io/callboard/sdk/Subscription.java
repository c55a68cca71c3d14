package io.callboard.sdk;

import io.callboard.gateway.v1.SubscribeResponse;
import io.callboard.sdk.internal.ChannelStream;
import io.callboard.sdk.internal.JsonValues;
import io.callboard.sdk.internal.Wire;
import java.time.Duration;
import java.time.Instant;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.concurrent.TimeoutException;

/**
 * What is said on channels from now on. Each message comes at least once, and a {@link Missed} where some did not.
 *
 * <pre>{@code
 * try (Subscription news = client.subscribe("news")) {
 *   for (ChannelItem item : news) { ... }
 * }
 * }</pre>
 *
 * <p>When the stream breaks it is opened again where it ended, at another node if need be; only what no retry can help is
 * thrown. Items are taken by one thread at a time; any thread may close.
 */
public final class Subscription implements Iterable<ChannelItem>, AutoCloseable {
  private final ChannelStream stream;
  private volatile String resumeToken;

  Subscription(ChannelStream stream, String resumeToken) {
    this.stream = stream;
    this.resumeToken = resumeToken;
  }

  /**
   * Waits until the subscription holds: whatever is said from then on is heard.
   *
   * @param timeout how long at most
   * @return this
   * @throws CallException if the node refused it
   * @throws TimeoutException if it took too long; the subscription keeps trying
   * @throws InterruptedException if the thread is interrupted
   */
  public Subscription awaitReady(Duration timeout) throws TimeoutException, InterruptedException {
    if (!stream.awaitHeld(timeout.toNanos())) {
      throw new TimeoutException("the subscription does not hold after " + timeout + "; it keeps trying");
    }
    return this;
  }

  /**
   * Waits for the next item.
   *
   * @return empty once the subscription is closed
   * @throws CallException if it ended by an error that no retry can help
   * @throws InterruptedException if the thread is interrupted
   */
  public Optional<ChannelItem> next() throws InterruptedException {
    return next(Long.MAX_VALUE);
  }

  /**
   * Waits for the next item for some time.
   *
   * @param timeout how long at most
   * @return empty if none came in time, or once the subscription is closed
   * @throws CallException if it ended by an error that no retry can help
   * @throws InterruptedException if the thread is interrupted
   */
  public Optional<ChannelItem> next(Duration timeout) throws InterruptedException {
    return next(timeout.toNanos());
  }

  private Optional<ChannelItem> next(long nanos) throws InterruptedException {
    SubscribeResponse response = stream.take(nanos);
    if (response == null) {
      return Optional.empty();
    }
    if (response.hasMissed()) {
      return Optional.of(new Missed(response.getMissed().getMessages()));
    }
    resumeToken = response.getMessage().getResumeToken();
    return Optional.of(message(response.getMessage()));
  }

  private static ChannelMessage message(io.callboard.gateway.v1.ChannelMessage from) {
    return new ChannelMessage(
        from.getChannel(),
        from.getId(),
        from.hasJson() ? JsonValues.payload(from.getJson()) : from.getPayload(),
        from.getMetadataMap(),
        from.hasSource() ? Optional.of(Wire.actorId(from.getSource())) : Optional.empty(),
        Instant.ofEpochMilli(from.getPublishedAtMs()));
  }

  /**
   * Where the subscription is after the newest message that was taken: another one that begins here goes on with the
   * message after it, for as long as nodes keep messages.
   *
   * @return empty until a message was taken, unless the subscription itself began somewhere
   */
  public String resumeToken() {
    String newest = resumeToken;
    return newest.isEmpty() ? stream.firstToken() : newest;
  }

  /** The items, until the subscription is closed or the thread is interrupted. */
  @Override
  public Iterator<ChannelItem> iterator() {
    return new Iterator<>() {
      private Optional<ChannelItem> ahead = Optional.empty();

      @Override
      public boolean hasNext() {
        try {
          ahead = ahead.isPresent() ? ahead : Subscription.this.next();
        } catch (InterruptedException e) {
          Thread.currentThread().interrupt();
        }
        return ahead.isPresent();
      }

      @Override
      public ChannelItem next() {
        if (!hasNext()) {
          throw new NoSuchElementException("the subscription is closed");
        }
        ChannelItem item = ahead.orElseThrow();
        ahead = Optional.empty();
        return item;
      }
    };
  }

  /** Ends the subscription. Whoever waits for an item gets none. */
  @Override
  public void close() {
    stream.close();
  }
}
