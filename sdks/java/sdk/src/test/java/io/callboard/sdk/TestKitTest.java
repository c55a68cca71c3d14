package io.callboard.sdk;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.callboard.sdk.testkit.Fault;
import io.callboard.sdk.testkit.TestCall;
import io.callboard.sdk.testkit.TestKit;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;

class TestKitTest {
  record State(List<String> items, int lives) {}

  record Put(String item) {}

  private static final Action<Put, Integer> PUT = Action.json("put", Put.class, Integer.class);
  private static final Action<Put, Integer> FAIL = Action.json("fail", Put.class, Integer.class);
  private static final Action<Put, Integer> CRASH = Action.json("crash", Put.class, Integer.class);
  private static final Action<Void, Integer> COUNT = Action.json("count", Void.class, Integer.class);
  private static final Action<Void, String> FACTS = Action.json("facts", Void.class, String.class);
  private static final Action<Put, Integer> ASK = Action.json("ask", Put.class, Integer.class);
  private static final Action<Put, Void> LATER = Action.json("later", Put.class, Void.class);

  private final TestKit<State> kit =
      TestKit.of(
          JsonActor.define("List", State.class)
              .initial(() -> new State(new ArrayList<>(), 0))
              .idleTimeout(Duration.ofMinutes(5))
              .init(c -> c.update(s -> new State(s.items(), s.lives() + 1)))
              .action(
                  PUT,
                  (c, put) -> {
                    // In place, as a careless action would.
                    c.state().items().add(put.item());
                    c.setTag("last", put.item());
                    return c.reply(c.state().items().size());
                  })
              .action(
                  FAIL,
                  (c, put) -> {
                    c.state().items().add(put.item());
                    c.setTag("last", put.item());
                    throw new ActorError(ErrorCode.FAILED_PRECONDITION, "FULL", "no room").with("max", "3");
                  })
              .action(
                  CRASH,
                  (c, put) -> {
                    c.state().items().add(put.item());
                    throw new IllegalStateException("boom");
                  })
              .readOnly(
                  COUNT,
                  (c, none) -> {
                    c.state().items().add("a reading action changes nothing");
                    return c.reply(c.state().items().size() - 1);
                  })
              .action(
                  FACTS,
                  (c, none) ->
                      c.reply(
                          c.self() + " " + c.attempt() + " " + c.requestId() + " " + c.caller().orElse(null) + " "
                              + c.metadata() + " " + c.now()))
              .action(ASK, (c, put) -> c.reply(c.callAsync(ActorId.of("Other", put.item()), PUT, put)))
              .action(
                  LATER,
                  (c, put) -> {
                    c.cancellation().throwIfCancelled();
                    return c.reply(CompletableFuture.runAsync(() -> c.setTag("later", put.item())));
                  })
              .build(),
          "k");

  @Test
  void stateChangedInPlaceIsCommittedOnReturnAndDiscardedOnThrow() {
    assertEquals(1, kit.call(PUT, new Put("a")));
    ActorError full = assertThrows(ActorError.class, () -> kit.call(FAIL, new Put("b")));
    assertEquals("FULL", full.reason());
    assertEquals("3", full.metadata().get("max"));
    CallException crash = assertThrows(CallException.class, () -> kit.call(CRASH, new Put("c")));
    assertEquals("ACTION_ERROR", crash.reason());
    assertInstanceOf(IllegalStateException.class, crash.getCause());
    assertEquals(1, kit.call(COUNT, null));
    assertEquals(1, kit.call(COUNT, null));
    assertEquals(List.of("a"), kit.state().items());
    assertEquals(Map.of("last", "a"), kit.tags());
  }

  @Test
  void aRepeatedRequestIdAnswersTheStoredOutcomeErrorsIncluded() {
    TestCall once = TestCall.plain().withRequestId("r1");
    assertEquals(1, kit.call(PUT, new Put("a"), once));
    assertEquals(1, kit.call(PUT, new Put("a"), once));
    CallException reused = assertThrows(CallException.class, () -> kit.call(PUT, new Put("b"), once));
    assertEquals("REQUEST_ID_REUSED", reused.reason());
    TestCall failing = TestCall.plain().withRequestId("r2");
    for (int i = 0; i < 2; i++) {
      assertEquals(
          "FULL", assertThrows(ActorError.class, () -> kit.call(FAIL, new Put("b"), failing)).reason());
    }
    assertEquals(List.of("a"), kit.state().items());
  }

  @Test
  void aFaultBeforeTheCommitRunsTheTurnAgainAndOneAfterItLosesTheReply() {
    assertEquals(1, kit.call(PUT, new Put("a"), TestCall.plain().withFault(Fault.BEFORE_COMMIT)));
    TestCall lost = TestCall.plain().withRequestId("r1").withFault(Fault.AFTER_COMMIT);
    CallException unknown = assertThrows(CallException.class, () -> kit.call(PUT, new Put("b"), lost));
    assertEquals(RetryAdvice.SAME_ID, unknown.retry());
    assertEquals(2, kit.call(PUT, new Put("b"), TestCall.plain().withRequestId("r1")));
  }

  @Test
  void anIdleActorBeginsANewLifeWithInit() {
    kit.call(COUNT, null);
    kit.clock().advance(Duration.ofMinutes(4));
    assertTrue(kit.isActive());
    kit.clock().advance(Duration.ofMinutes(1));
    assertFalse(kit.isActive());
    kit.call(COUNT, null);
    kit.restart();
    assertEquals(3, kit.activations());
    assertEquals(3, kit.state().lives());
  }

  @Test
  void theContextTellsTheFactsOfTheCall() {
    Instant now = kit.clock().instant();
    TestCall call =
        TestCall.plain()
            .withRequestId("r9")
            .withAttempt(2)
            .withCaller(new ActorId("default", "Boss", "b"))
            .withMetadata(Map.of("trace", "t"));
    assertEquals("default:List/k 2 r9 default:Boss/b {trace=t} " + now, kit.call(FACTS, null, call));
  }

  @Test
  void callsToOthersAreStubbedAndListed() {
    kit.stub("Other", PUT, (key, put) -> key.length());
    assertEquals(3, kit.call(ASK, new Put("abc")));
    assertEquals("Other/abc put", kit.calls().get(0).toString());
    assertEquals(new Put("abc"), kit.calls().get(0).argument(PUT));
    kit.stub(
        "Other",
        PUT,
        (key, put) -> {
          throw new ActorError(ErrorCode.NOT_FOUND, "NO_SUCH_LIST", "made up");
        });
    assertEquals(
        "NO_SUCH_LIST", assertThrows(ActorError.class, () -> kit.call(ASK, new Put("x"))).reason());
    assertEquals(2, kit.calls().size());
  }

  @Test
  void aForgottenStubFailsTheTest() {
    AssertionError error = assertThrows(AssertionError.class, () -> kit.call(ASK, new Put("x")));
    assertTrue(error.getMessage().contains("which no stub answers"), error.getMessage());
  }

  @Test
  void cancellationAndLateRepliesWorkAsInAHost() {
    CallException cancelled =
        assertThrows(
            CallException.class, () -> kit.call(LATER, new Put("x"), TestCall.plain().withCancellation()));
    assertEquals("CANCELLED", cancelled.reason());
    kit.call(LATER, new Put("x"));
    assertEquals("x", kit.tags().get("later"));
  }
}
