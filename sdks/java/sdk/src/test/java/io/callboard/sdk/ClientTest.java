package io.callboard.sdk;

import static io.callboard.sdk.support.FakeSession.json;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Any;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.callboard.gateway.v1.InvokeMode;
import io.callboard.gateway.v1.InvokeRequest;
import io.callboard.gateway.v1.InvokeResponse;
import io.callboard.gateway.v1.StreamReply;
import io.callboard.sdk.support.FakeNode;
import io.callboard.sdk.support.FakeNode.Cancellation;
import io.callboard.sdk.support.FakeNode.StreamedCall;
import io.callboard.sdk.support.FakeNode.UnaryCall;
import io.callboard.type.v1.CallError;
import io.callboard.type.v1.Retry;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;
import java.time.Instant;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class ClientTest {
  record Add(long amount) {}

  record Total(long total) {}

  private static final Action<Add, Total> ADD = Action.json("add", Add.class, Total.class);
  private static final ActorId U1 = ActorId.of("T", "u1");

  private final FakeNode node = new FakeNode();
  private final Client client = Client.builder().server(node.address()).build();

  @AfterEach
  void close() {
    client.close();
    node.close();
  }

  private static StreamReply.Builder total(long total) {
    return StreamReply.newBuilder()
        .setResponse(InvokeResponse.newBuilder().setPayload(json("{\"total\":" + total + "}")));
  }

  private static StreamReply.Builder error(int code, String reason, Retry retry, int afterMs) {
    return StreamReply.newBuilder()
        .setError(
            CallError.newBuilder()
                .setCode(code)
                .setReason(reason)
                .setMessage("as the test says")
                .setRetry(retry)
                .setRetryAfterMs(afterMs));
  }

  private StreamedCall streamed() throws InterruptedException {
    return assertInstanceOf(StreamedCall.class, node.call());
  }

  @Test
  void everyCallHasAnIdOfVersion7AndATime() throws Exception {
    CompletableFuture<Total> reply = client.callAsync(U1, ADD, new Add(1));
    StreamedCall call = streamed();
    assertEquals(7, UUID.fromString(call.request().getRequestId()).version());
    assertTrue(Math.abs(System.currentTimeMillis() - call.request().getCreatedAtMs()) < 10_000);
    assertEquals("default", call.request().getActor().getSystem());
    call.answer(total(1));
    assertEquals(new Total(1), reply.get());
  }

  @Test
  void retriesShareIdAndTimeAndHonourTheAdvisedDelay() throws Exception {
    CompletableFuture<Total> reply = client.callAsync(U1, ADD, new Add(1));
    StreamedCall first = streamed();
    long sent = System.nanoTime();
    first.answer(error(14, "MAILBOX_FULL", Retry.RETRY_SAFE, 200));
    StreamedCall second = streamed();
    assertTrue(System.nanoTime() - sent >= 190_000_000L, "the retry came too soon");
    second.answer(error(14, "OUTCOME_UNKNOWN", Retry.RETRY_SAME_ID, 0));
    StreamedCall third = streamed();
    third.breakStream();
    StreamedCall fourth = streamed();
    fourth.answer(total(5));
    assertEquals(new Total(5), reply.get());
    for (StreamedCall retry : new StreamedCall[] {second, third, fourth}) {
      assertEquals(first.request().getRequestId(), retry.request().getRequestId());
      assertEquals(first.request().getCreatedAtMs(), retry.request().getCreatedAtMs());
    }
  }

  @Test
  void aFinalErrorIsNotRetried() throws Exception {
    CompletableFuture<Total> reply = client.callAsync(U1, ADD, new Add(1));
    streamed().answer(error(9, "COUNTER_STOPPED", Retry.RETRY_NEVER, 0));
    CompletionException error = assertThrows(CompletionException.class, reply::join);
    assertEquals("COUNTER_STOPPED", assertInstanceOf(CallException.class, error.getCause()).reason());
    assertEquals(null, node.callWithin(200));
  }

  @Test
  void theDeadlineEndsTheCallAndTellsTheServer() throws Exception {
    CallOptions options = CallOptions.DEFAULT.withTimeout(Duration.ofMillis(150));
    CompletableFuture<Total> reply = client.callAsync(U1, ADD, new Add(1), options);
    StreamedCall call = streamed();
    assertTrue(call.request().getTimeoutMs() <= 150);
    CompletionException error = assertThrows(CompletionException.class, reply::join);
    assertEquals("DEADLINE_EXCEEDED", ((CallException) error.getCause()).reason());
    assertEquals(new Cancellation(call.call().getStreamId()), node.call());
  }

  @Test
  void cancellingTheFutureTellsTheServer() throws Exception {
    CompletableFuture<Total> reply = client.callAsync(U1, ADD, new Add(1));
    StreamedCall call = streamed();
    reply.cancel(true);
    assertEquals(new Cancellation(call.call().getStreamId()), node.call());
  }

  @Test
  void callsOfOneMomentShareMessages() throws Exception {
    client.callAsync(U1, ADD, new Add(0));
    streamed().answer(total(0));
    for (int i = 0; i < 1000; i++) {
      client.callAsync(U1, ADD, new Add(i));
    }
    int first = streamed().message();
    StreamedCall last = null;
    for (int i = 1; i < 1000; i++) {
      last = streamed();
    }
    assertTrue(last.message() - first < 500, "1,000 calls took " + (last.message() - first) + " messages");
  }

  @Test
  void tellIsAcceptedWithoutAReply() throws Exception {
    var accepted = client.tellAsync(U1, ADD, new Add(1), CallOptions.DEFAULT.withIdempotencyKey("k1"));
    StreamedCall call = streamed();
    assertEquals(InvokeMode.INVOKE_MODE_ASYNC, call.request().getMode());
    call.answer(
        StreamReply.newBuilder().setResponse(InvokeResponse.newBuilder().setDurable(true)));
    assertEquals(new Accepted("k1", true, Optional.empty()), accepted.get());
  }

  @Test
  void aCallForLaterSaysWhenAndOnlyWhereNobodyWaitsForItsReply() throws Exception {
    Instant noon = Instant.parse("2030-01-01T12:00:00Z");
    CallOptions later = CallOptions.DEFAULT.withDelay(Duration.ofSeconds(2));
    var accepted = client.tellAsync(U1, ADD, new Add(1), later.withAt(noon));
    StreamedCall call = streamed();
    assertEquals(noon.toEpochMilli(), call.request().getDueAtMs());
    assertEquals(0, call.request().getDelayMs(), "the one that was said last counts");
    call.answer(StreamReply.newBuilder().setResponse(InvokeResponse.newBuilder().setSchedule("call-1")));
    assertEquals(Optional.of("call-1"), accepted.get().schedule());
    assertThrows(IllegalArgumentException.class, () -> client.call(U1, ADD, new Add(1), later));
    assertThrows(IllegalArgumentException.class, () -> client.callAsync(U1, ADD, new Add(1), later));
  }

  @Test
  void blockingCallsThrowTheErrorItself() throws Exception {
    CompletableFuture<Throwable> thrown =
        CompletableFuture.supplyAsync(
            () -> assertThrows(ActorError.class, () -> client.call(U1, ADD, new Add(1))));
    StreamReply.Builder error = error(9, "INSUFFICIENT_FUNDS", Retry.RETRY_NEVER, 0);
    error.getErrorBuilder().setFromActor(true).putMetadata("balance", "3");
    streamed().answer(error);
    ActorError caught = (ActorError) thrown.get(FakeNode.PATIENCE_S, TimeUnit.SECONDS);
    assertEquals("3", caught.metadata().get("balance"));
  }

  @Test
  void aServerThatIsNotThereIsTheDeadlineWithTheCause() {
    try (Client lost = Client.builder().server("127.0.0.1:1").build()) {
      CallOptions options = CallOptions.DEFAULT.withTimeout(Duration.ofMillis(300));
      CallException error = assertThrows(CallException.class, () -> lost.call(U1, ADD, new Add(1), options));
      assertEquals("DEADLINE_EXCEEDED", error.reason());
      assertTrue(error.getMessage().contains("refused"), error.getMessage());
    }
  }

  @Test
  void closingTheClientFailsItsCalls() throws Exception {
    CompletableFuture<Total> reply = client.callAsync(U1, ADD, new Add(1));
    streamed();
    client.close();
    CompletionException error = assertThrows(CompletionException.class, reply::join);
    assertEquals("CLIENT_CLOSED", ((CallException) error.getCause()).reason());
    assertThrows(IllegalStateException.class, () -> client.callAsync(U1, ADD, new Add(1)));
  }

  @Test
  void unaryCallsReadTheDetailsOfTheStatus() throws Exception {
    try (Client unary = Client.builder().server(node.address()).transport(Transport.UNARY).build()) {
      CompletableFuture<Total> reply = unary.callAsync(U1, ADD, new Add(1));
      UnaryCall first = (UnaryCall) node.call();
      refuse(first, "RETRY_SAFE", "MAILBOX_FULL");
      UnaryCall second = (UnaryCall) node.call();
      InvokeRequest request = second.request();
      assertEquals(first.request().getRequestId(), request.getRequestId());
      assertNotEquals(0, request.getTimeoutMs());
      refuse(second, "RETRY_NEVER", "STATE_TOO_LARGE");
      CompletionException error = assertThrows(CompletionException.class, reply::join);
      CallException cause = (CallException) error.getCause();
      assertEquals("STATE_TOO_LARGE", cause.reason());
      assertEquals("9", cause.metadata().get("limit"));
    }
  }

  private static void refuse(UnaryCall call, String retry, String reason) {
    ErrorInfo info =
        ErrorInfo.newBuilder()
            .setDomain("callboard.io")
            .setReason(reason)
            .putMetadata("retry", retry)
            .putMetadata("limit", "9")
            .build();
    com.google.rpc.Status.Builder status =
        com.google.rpc.Status.newBuilder().setCode(8).setMessage("no").addDetails(Any.pack(info));
    if (!retry.equals("RETRY_NEVER")) {
      status.addDetails(Any.pack(RetryInfo.getDefaultInstance()));
    }
    StatusRuntimeException thrown = StatusProto.toStatusRuntimeException(status.build());
    call.refuse(thrown.getStatus(), thrown.getTrailers());
  }
}
