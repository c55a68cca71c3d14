package io.callboard.sdk.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.callboard.gateway.v1.ChannelMessage;
import io.callboard.gateway.v1.SubscribeRequest;
import io.callboard.gateway.v1.SubscribeResponse;
import io.callboard.gateway.v1.Subscribed;
import io.callboard.sdk.CallException;
import io.callboard.sdk.ErrorCode;
import io.callboard.sdk.RetryAdvice;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Subscriptions: how much they ask for, where they go on, and how they end. */
class ChannelStreamTest {
  private static final long PATIENCE_NS = TimeUnit.SECONDS.toNanos(20);

  /** One stream that was opened, in the hands of the test. */
  private static final class Stream implements ChannelStream.Opened {
    final SubscribeRequest request;
    final Consumer<SubscribeResponse> heard;
    final Consumer<CallException> ended;
    /** On the event loop. */
    int requested;

    boolean cancelled;

    Stream(SubscribeRequest request, Consumer<SubscribeResponse> heard, Consumer<CallException> ended) {
      this.request = request;
      this.heard = heard;
      this.ended = ended;
    }

    @Override
    public void request(int items) {
      requested += items;
    }

    @Override
    public void cancel() {
      cancelled = true;
    }
  }

  private final Loop loop = new Loop("test");
  private final BlockingQueue<Stream> opened = new LinkedBlockingQueue<>();
  private final ChannelStream subscription =
      new ChannelStream(
          loop,
          SubscribeRequest.newBuilder().addChannels("a").build(),
          (request, heard, ended) -> {
            Stream stream = new Stream(request, heard, ended);
            opened.add(stream);
            return stream;
          },
          over -> {});

  @AfterEach
  void closeTheLoop() {
    loop.close();
  }

  private void onLoop(Runnable task) throws InterruptedException {
    CountDownLatch ran = new CountDownLatch(1);
    loop.onLoop(
        () -> {
          task.run();
          ran.countDown();
        });
    assertTrue(ran.await(20, TimeUnit.SECONDS), "the loop is stuck");
  }

  private Stream open() throws InterruptedException {
    onLoop(subscription::proceed);
    return next();
  }

  private Stream next() throws InterruptedException {
    Stream stream = opened.poll(20, TimeUnit.SECONDS);
    assertTrue(stream != null, "no stream was opened");
    return stream;
  }

  private void requested(Stream stream, int expected) throws InterruptedException {
    int[] seen = new int[1];
    onLoop(() -> seen[0] = stream.requested);
    assertEquals(expected, seen[0]);
  }

  private static SubscribeResponse message(String id) {
    return SubscribeResponse.newBuilder()
        .setMessage(ChannelMessage.newBuilder().setChannel("a").setId(id).setResumeToken(id))
        .build();
  }

  private static SubscribeResponse subscribed(String token) {
    return SubscribeResponse.newBuilder().setSubscribed(Subscribed.newBuilder().setResumeToken(token)).build();
  }

  private static CallException error(RetryAdvice retry) {
    return new CallException(ErrorCode.UNAVAILABLE, "CONNECTION_LOST", "made up", retry);
  }

  @Test
  void aSlowSubscriberAsksForNoMoreThanItKeeps() throws Exception {
    Stream stream = open();
    onLoop(
        () -> {
          stream.heard.accept(subscribed("t0"));
          for (int i = 0; i < ChannelStream.ITEMS_AHEAD; i++) {
            stream.heard.accept(message("m" + i));
          }
        });
    requested(stream, ChannelStream.ITEMS_AHEAD + 1);
    assertEquals("m0", subscription.take(PATIENCE_NS).getMessage().getId());
    requested(stream, ChannelStream.ITEMS_AHEAD + 2);
    onLoop(() -> stream.ended.accept(error(RetryAdvice.SAFE)));
    for (int i = 1; i < ChannelStream.ITEMS_AHEAD; i++) {
      assertEquals("m" + i, subscription.take(PATIENCE_NS).getMessage().getId(), "what was heard is not lost");
    }
    assertEquals("m" + (ChannelStream.ITEMS_AHEAD - 1), next().request.getResumeToken());
  }

  @Test
  void whoWaitsForTheSubscriptionIsToldWhenItHolds() throws Exception {
    Stream stream = open();
    assertFalse(subscription.awaitHeld(1_000_000));
    onLoop(() -> stream.heard.accept(subscribed("t0")));
    assertTrue(subscription.awaitHeld(PATIENCE_NS));
    assertEquals("t0", subscription.firstToken());
  }

  @Test
  void closingWakesWhoeverWaitsAndEndsTheStream() throws Exception {
    Stream stream = open();
    CompletableFuture<SubscribeResponse> taken =
        CompletableFuture.supplyAsync(
            () -> {
              try {
                return subscription.take(Long.MAX_VALUE);
              } catch (InterruptedException e) {
                throw new AssertionError(e);
              }
            });
    subscription.close();
    assertNull(taken.get(20, TimeUnit.SECONDS));
    onLoop(() -> {});
    assertTrue(stream.cancelled);
    onLoop(() -> stream.ended.accept(error(RetryAdvice.SAFE)));
    assertNull(opened.poll(), "a closed subscription was opened again");
  }

  @Test
  void anErrorThatNoRetryHelpsComesAfterWhatWasHeard() throws Exception {
    Stream stream = open();
    onLoop(
        () -> {
          stream.heard.accept(message("m1"));
          stream.ended.accept(error(RetryAdvice.NEVER));
        });
    assertEquals("m1", subscription.take(PATIENCE_NS).getMessage().getId());
    for (int i = 0; i < 2; i++) {
      assertThrows(CallException.class, () -> subscription.take(PATIENCE_NS));
    }
  }
}
