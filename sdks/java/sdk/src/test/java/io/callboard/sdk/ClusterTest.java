package io.callboard.sdk;

import static io.callboard.sdk.support.FakeSession.json;
import static io.callboard.sdk.support.FakeSession.run;
import static io.callboard.sdk.support.FakeSession.text;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.callboard.gateway.v1.InvokeResponse;
import io.callboard.gateway.v1.StreamReply;
import io.callboard.host.v1.Drained;
import io.callboard.host.v1.NodeFrame;
import io.callboard.host.v1.Registered;
import io.callboard.host.v1.Topology;
import io.callboard.host.v1.Welcome;
import io.callboard.sdk.internal.Link;
import io.callboard.sdk.internal.Nodes;
import io.callboard.sdk.support.FakeNode;
import io.callboard.sdk.support.FakeNode.StreamedCall;
import io.callboard.sdk.support.FakeSession;
import io.callboard.type.v1.CallError;
import io.callboard.type.v1.NodeAddress;
import io.callboard.type.v1.Retry;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Hosts and clients with two nodes. */
@Timeout(60)
class ClusterTest {
  record State(long total) {}

  record Add(long amount) {}

  private static final Action<Add, State> ADD = Action.json("add", Add.class, State.class);

  private final FakeNode one = new FakeNode();
  private final FakeNode two = new FakeNode();
  private final List<AutoCloseable> open = new ArrayList<>(List.of(one, two));

  @AfterEach
  void close() throws Exception {
    for (AutoCloseable thing : open) {
      thing.close();
    }
  }

  private Host host(int credits) {
    JsonActor<State> actor =
        JsonActor.define("T", State.class)
            .initial(() -> new State(0))
            .action(ADD, (c, add) -> c.reply(c.update(s -> new State(s.total() + add.amount()))))
            .build();
    Host host =
        Host.builder().server(one.address()).credits(credits).drainOnSignal(false).actor(actor).start();
    open.add(host);
    return host;
  }

  private NodeAddress address(long id, FakeNode node) {
    return NodeAddress.newBuilder().setNodeId(id).setAddress(node.address()).build();
  }

  private Welcome.Builder welcome(long id) {
    return Welcome.newBuilder()
        .setProtocolMajor(1)
        .setNodeId(id)
        .addNodes(address(1, one))
        .addNodes(address(2, two));
  }

  private static void works(FakeSession session, long turn) throws InterruptedException {
    session.send(run("T", "a", turn, "add", "{\"amount\":1}"));
    assertEquals("{\"total\":1}", text(session.result().getReply()));
  }

  @Test
  void everyNodeIsServedWithAShareOfTheTurnsAndLeftWhenItIsRemoved() throws Exception {
    host(90);
    FakeSession first = one.session();
    assertEquals(90, first.frame().getHello().getCredits());
    first.register(welcome(1));
    FakeSession second = two.session();
    assertEquals(45, second.frame().getHello().getCredits());
    second.register(welcome(2));
    assertEquals(45, first.frame().getCredit().getTurns());
    works(first, 1);
    works(second, 1);
    Topology alone = Topology.newBuilder().addNodes(address(1, one)).setViewVersion(4).build();
    second.send(NodeFrame.newBuilder().setTopology(alone));
    assertTrue(second.frame().hasDrain());
    assertEquals(90, first.frame().getCredit().getTurns());
    second.send(NodeFrame.newBuilder().setDrained(Drained.getDefaultInstance()));
    assertTrue(second.awaitEnd());
    works(first, 2);
  }

  @Test
  void aNodeThatRefusesTheTypesDoesNotEndAHostThatOthersServe() throws Exception {
    Host host = host(90);
    FakeSession first = one.session();
    assertTrue(first.frame().hasHello());
    first.register(welcome(1));
    host.awaitReady(Duration.ofSeconds(FakeNode.PATIENCE_S));
    for (int i = 0; i < 2; i++) {
      FakeSession second = two.session();
      assertTrue(second.frame().hasHello());
      second.send(NodeFrame.newBuilder().setWelcome(welcome(2)));
      long id = second.frame().getRegister().getRegisterId();
      CallError.Builder error =
          CallError.newBuilder().setCode(9).setReason("INCOMPATIBLE_TYPE").setRetry(Retry.RETRY_NEVER);
      second.send(
          NodeFrame.newBuilder().setRegistered(Registered.newBuilder().setRegisterId(id).setError(error)));
    }
    first.send(run("T", "a", 1, "add", "{\"amount\":1}"));
    var frame = first.frame();
    while (frame.hasCredit()) {
      frame = first.frame();
    }
    assertEquals("{\"total\":1}", text(frame.getResult().getReply()));
  }

  @Test
  void aSidecarIsGivenOneNode() {
    Host.Builder sidecar =
        Host.builder().server("a:1,b:1").mode(HostMode.SIDECAR).actor(JsonActor.define("T", State.class)
            .initial(() -> new State(0)).build());
    assertThrows(IllegalStateException.class, sidecar::start);
  }

  @Test
  void aClientOfTwoNodesMovesFromTheOneThatStopsAndStillHearsFromIt() throws Exception {
    Client client = Client.builder().server(one.address(), two.address()).build();
    open.add(client);
    CompletableFuture<State> held = client.callAsync(ActorId.of("T", "k"), ADD, new Add(1));
    FakeNode stopping = one;
    FakeNode other = two;
    StreamedCall first = (StreamedCall) one.callWithin(500);
    if (first == null) {
      stopping = two;
      other = one;
      first = (StreamedCall) two.call();
    }
    CompletableFuture<State> moved = client.callAsync(ActorId.of("T", "k"), ADD, new Add(2));
    StreamedCall refused = (StreamedCall) stopping.call();
    refused.answer(
        StreamReply.newBuilder()
            .setError(
                CallError.newBuilder().setCode(14).setReason("SHUTTING_DOWN").setRetry(Retry.RETRY_SAFE)));
    StreamedCall again = (StreamedCall) other.call();
    assertEquals(refused.request().getRequestId(), again.request().getRequestId());
    again.answer(reply(2));
    assertEquals(new State(2), moved.get());
    first.answer(reply(1));
    assertEquals(new State(1), held.get());
  }

  private static StreamReply.Builder reply(long total) {
    return StreamReply.newBuilder()
        .setResponse(InvokeResponse.newBuilder().setPayload(json("{\"total\":" + total + "}")));
  }

  @Test
  void aClientStaysWithANodeUntilThatOneCannotAnswer() {
    List<String> opened = new ArrayList<>();
    Nodes<String> nodes =
        new Nodes<>(
            List.of("a:1", "b:1", "c:1"),
            address -> {
              opened.add(address);
              return address;
            });
    String first = nodes.connection();
    nodes.failed(first, failure("NO_HOST"));
    nodes.failed(first, new ActorError(ErrorCode.UNAVAILABLE, "SHUTTING_DOWN", "the actor's own word"));
    assertEquals(first, nodes.address());
    nodes.failed(first, failure("SHUTTING_DOWN"));
    nodes.failed(first, failure("SHUTTING_DOWN"));
    String second = nodes.address();
    assertNotEquals(first, second);
    nodes.failed(second, failure("LEASE_LOST"));
    assertEquals(3, Set.of(first, second, nodes.address()).size());
    nodes.failed(nodes.address(), failure("CONNECTION_LOST"));
    assertEquals(first, nodes.connection());
    assertEquals(List.of("a:1", "b:1", "c:1"), opened, "connections are kept for the calls that are under way");
  }

  private static CallException failure(String reason) {
    return new CallException(ErrorCode.UNAVAILABLE, reason, "", RetryAdvice.SAFE);
  }

  @Test
  void addressesComeFromAListOrATextWithCommas() {
    assertEquals(List.of("a:1", "b:2"), Link.servers(List.of("a:1", "b:2, a:1,,")));
    assertEquals(1, Link.servers(List.of()).size());
  }
}
