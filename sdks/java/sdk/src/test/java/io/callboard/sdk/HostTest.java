package io.callboard.sdk;

import static io.callboard.sdk.support.FakeSession.json;
import static io.callboard.sdk.support.FakeSession.run;
import static io.callboard.sdk.support.FakeSession.text;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.callboard.host.v1.CancelTurn;
import io.callboard.host.v1.Drained;
import io.callboard.host.v1.Draining;
import io.callboard.host.v1.Hello;
import io.callboard.host.v1.Limits;
import io.callboard.host.v1.NodeFrame;
import io.callboard.host.v1.Ping;
import io.callboard.host.v1.Registered;
import io.callboard.host.v1.TurnCall;
import io.callboard.host.v1.TurnCallResult;
import io.callboard.host.v1.TurnResult;
import io.callboard.host.v1.Welcome;
import io.callboard.sdk.support.FakeNode;
import io.callboard.sdk.support.FakeSession;
import io.callboard.type.v1.CallError;
import io.grpc.Status;
import java.time.Duration;
import java.util.HashSet;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class HostTest {
  record State(long total) {}

  record Add(long amount) {}

  private static final Action<Add, State> ADD = Action.json("add", Add.class, State.class);

  private final CountDownLatch release = new CountDownLatch(1);
  private final FakeNode node = new FakeNode();
  private final Host host = Host.builder().server(node.address()).drainOnSignal(false).actor(actor()).start();

  private JsonActor<State> actor() {
    Action<Add, State> later = Action.json("later", Add.class, State.class);
    return JsonActor.define("T", State.class)
        .initial(() -> new State(0))
        .action(ADD, (c, add) -> c.reply(c.update(s -> new State(s.total() + add.amount()))))
        .action(
            Action.json("crash", Add.class, State.class),
            (c, add) -> {
              c.update(s -> new State(99));
              throw new IllegalStateException("boom");
            })
        .action(
            Action.json("block", Add.class, Void.class),
            (c, add) -> {
              release.await();
              return c.reply(null);
            })
        .action(
            later,
            (c, add) ->
                c.reply(
                    CompletableFuture.supplyAsync(
                        () -> c.update(s -> new State(s.total() + add.amount())),
                        CompletableFuture.delayedExecutor(20, TimeUnit.MILLISECONDS))))
        .action(
            Action.json("wait", Add.class, Void.class),
            (c, add) -> {
              c.cancellation().sleep(Duration.ofMinutes(5));
              return c.reply(null);
            })
        .action(
            Action.json("big", Add.class, String.class),
            (c, add) -> {
              c.update(s -> new State(s.total() + 1));
              return c.reply("x".repeat((int) add.amount()));
            })
        .action(
            Action.json("ask", Add.class, State.class),
            (c, add) -> c.reply(c.call(ActorId.of("Other", c.self().key()), ADD, add)))
        .action(
            Action.json("ask_later", Add.class, State.class),
            (c, add) -> c.reply(c.callAsync(ActorId.of("Other", c.self().key()), ADD, add)))
        .build();
  }

  @AfterEach
  void close() {
    release.countDown();
    node.close();
    host.close();
  }

  private FakeSession begin() throws InterruptedException {
    FakeSession session = node.session();
    session.begin();
    return session;
  }

  @Test
  void aRunIsExecutedInOrderOnTheStateOfTheTurnBefore() throws Exception {
    FakeSession session = begin();
    session.send(
        run("T", "a", 1, "add", "{\"amount\":1}", "crash", "{}", "later", "{\"amount\":2}", "add", "{\"amount\":4}"));
    assertEquals("{\"total\":1}", text(session.result().getState()));
    TurnResult crashed = session.result();
    assertEquals("ACTION_ERROR", crashed.getError().getReason());
    assertFalse(crashed.hasState());
    assertEquals("{\"total\":3}", text(session.result().getState()));
    assertEquals("{\"total\":7}", text(session.result().getReply()));
  }

  @Test
  void aBusyActorKeepsNeitherPingsNorOtherActorsWaiting() throws Exception {
    FakeSession session = begin();
    session.send(run("T", "busy", 1, "block", "{}"));
    session.send(NodeFrame.newBuilder().setPing(Ping.newBuilder().setNonce(7)), run("T", "idle", 2, "add", "{}"));
    Set<String> seen = new HashSet<>();
    for (int i = 0; i < 2; i++) {
      var frame = session.frame();
      seen.add(frame.hasPong() ? "pong " + frame.getPong().getNonce() : "turn " + frame.getResult().getTurnId());
    }
    assertEquals(Set.of("pong 7", "turn 2"), seen);
    release.countDown();
    assertEquals(1, session.result().getTurnId());
  }

  @Test
  void twoRunsOfOneActivationDoNotOverlap() throws Exception {
    FakeSession session = begin();
    session.send(run("T", "a", 1, "block", "{}"), run("T", "a", 2, "add", "{\"amount\":1}"));
    assertTrue(session.quietFor(200), "the second run must wait for the first");
    release.countDown();
    assertEquals(1, session.result().getTurnId());
    assertEquals(2, session.result().getTurnId());
  }

  @Test
  void aDuplicateTurnIsAnsweredOnce() throws Exception {
    FakeSession session = begin();
    session.send(run("T", "a", 1, "add", "{\"amount\":1}"), run("T", "a", 1, "add", "{\"amount\":1}"));
    session.send(run("T", "a", 1, "add", "{\"amount\":1}"), run("T", "a", 2, "add", "{\"amount\":1}"));
    assertEquals(1, session.result().getTurnId());
    assertEquals(2, session.result().getTurnId());
    assertTrue(session.quietFor(200));
  }

  @Test
  void aCancelledTurnIsAnsweredAsCancelledWhetherItRunsOrWaits() throws Exception {
    FakeSession session = begin();
    session.send(run("T", "a", 1, "wait", "{}", "add", "{\"amount\":1}", "add", "{\"amount\":1}"));
    for (long turn : new long[] {2, 1}) {
      session.send(NodeFrame.newBuilder().setCancel(CancelTurn.newBuilder().setTurnId(turn)));
    }
    assertTrue(session.result().hasCancelled());
    assertTrue(session.result().hasCancelled());
    assertEquals("{\"total\":1}", text(session.result().getState()));
  }

  @Test
  void aHundredTurnsMayWaitForCallsAtTheSameTime() throws Exception {
    FakeSession session = begin();
    for (int i = 0; i < 100; i++) {
      session.send(run("T", "k" + i, i + 1, i % 2 == 0 ? "ask" : "ask_later", "{\"amount\":" + i + "}"));
    }
    Set<Long> asked = new HashSet<>();
    for (int i = 0; i < 100; i++) {
      TurnCall call = session.frame().getCall();
      asked.add(call.getTurnId());
      assertEquals(0, call.getCallIndex());
      assertEquals("Other", call.getTarget().getType());
    }
    assertEquals(100, asked.size());
    for (long turn : asked) {
      session.send(
          NodeFrame.newBuilder()
              .setCallResult(TurnCallResult.newBuilder().setTurnId(turn).setReply(json("{\"total\":" + turn + "}"))));
    }
    for (int i = 0; i < 100; i++) {
      TurnResult result = session.result();
      assertEquals("{\"total\":" + result.getTurnId() + "}", text(result.getReply()));
    }
  }

  @Test
  void aCancelledTurnStopsWaitingForItsCall() throws Exception {
    FakeSession session = begin();
    session.send(run("T", "a", 1, "ask", "{}"));
    assertTrue(session.frame().hasCall());
    session.send(NodeFrame.newBuilder().setCancel(CancelTurn.newBuilder().setTurnId(1)));
    assertTrue(session.result().hasCancelled());
  }

  @Test
  void aReplyOverTheLimitFailsItsTurnOnly() throws Exception {
    FakeSession session = node.session();
    assertTrue(session.frame().hasHello());
    session.register(
        Welcome.newBuilder().setProtocolMajor(1).setLimits(Limits.newBuilder().setPayloadBytesMax(100)));
    session.send(run("T", "a", 1, "big", "{\"amount\":200}", "add", "{\"amount\":5}"));
    CallError error = session.result().getError();
    assertEquals("PAYLOAD_TOO_LARGE", error.getReason());
    assertEquals("{\"total\":5}", text(session.result().getState()));
  }

  @Test
  void aThousandTurnsAreAnsweredInFewMessages() throws Exception {
    FakeSession session = begin();
    int before = session.messages();
    NodeFrame.Builder[] runs = new NodeFrame.Builder[1000];
    for (int i = 0; i < runs.length; i++) {
      runs[i] = run("T", "k" + i, i + 1, "add", "{\"amount\":1}");
    }
    session.send(runs);
    for (int i = 0; i < runs.length; i++) {
      session.result();
    }
    int messages = session.messages() - before;
    assertTrue(messages < 500, messages + " messages for 1,000 results");
  }

  @Test
  void aBrokenSessionIsOpenedAgainByTheSameInstance() throws Exception {
    FakeSession first = node.session();
    Hello hello = first.begin();
    first.send(run("T", "a", 1, "block", "{}"));
    first.close(Status.UNAVAILABLE);
    FakeSession second = node.session();
    assertEquals(hello.getInstanceId(), second.begin().getInstanceId());
    second.send(run("T", "b", 1, "add", "{\"amount\":1}"));
    assertEquals("{\"total\":1}", text(second.result().getReply()));
  }

  @Test
  void aLeavingNodeGetsItsAnswersBeforeTheHostReconnects() throws Exception {
    FakeSession first = begin();
    first.send(run("T", "a", 1, "block", "{}"));
    first.send(NodeFrame.newBuilder().setDraining(Draining.newBuilder().setGraceMs(5000)));
    release.countDown();
    assertEquals(1, first.result().getTurnId());
    assertTrue(first.awaitEnd());
    node.session().begin();
  }

  @Test
  void closingDrains() throws Exception {
    FakeSession session = begin();
    host.awaitReady(Duration.ofSeconds(FakeNode.PATIENCE_S));
    session.send(run("T", "a", 1, "block", "{}"));
    var closing = Executors.newSingleThreadExecutor();
    var closed = closing.submit(host::close);
    assertFalse(session.frame().getDrain().getPermanent());
    session.send(run("T", "b", 2, "add", "{\"amount\":1}"), NodeFrame.newBuilder().setDrained(Drained.newBuilder()));
    assertEquals(2, session.result().getTurnId());
    release.countDown();
    assertEquals(1, session.result().getTurnId());
    assertTrue(session.awaitEnd());
    closed.get(FakeNode.PATIENCE_S, TimeUnit.SECONDS);
    closing.shutdown();
  }

  @Test
  void aRefusedHostSaysWhy() throws Exception {
    FakeSession session = node.session();
    assertTrue(session.frame().hasHello());
    session.send(NodeFrame.newBuilder().setWelcome(Welcome.newBuilder().setProtocolMajor(1)));
    assertEquals("T", session.frame().getRegister().getTypes(0).getName());
    CallError refusal =
        CallError.newBuilder().setCode(9).setReason("INCOMPATIBLE_TYPE").setMessage("other actions").build();
    session.send(NodeFrame.newBuilder().setRegistered(Registered.newBuilder().setRegisterId(1).setError(refusal)));
    CallException error = assertThrows(CallException.class, host::awaitShutdown);
    assertEquals("INCOMPATIBLE_TYPE", error.reason());
  }
}
