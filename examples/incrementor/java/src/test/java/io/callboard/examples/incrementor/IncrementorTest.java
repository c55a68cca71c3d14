package io.callboard.examples.incrementor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.callboard.examples.incrementor.v1.AddRequest;
import io.callboard.examples.incrementor.v1.CastRequest;
import io.callboard.examples.incrementor.v1.IncrementorClient;
import io.callboard.examples.incrementor.v1.IncrementorRef;
import io.callboard.examples.incrementor.v1.IncrementorState;
import io.callboard.examples.incrementor.v1.StopRequest;
import io.callboard.examples.incrementor.v1.TotalRequest;
import io.callboard.sdk.ActorError;
import io.callboard.sdk.CallOptions;
import io.callboard.sdk.testkit.TestKit;
import java.time.Duration;
import org.junit.jupiter.api.Test;

class IncrementorTest {
  private final TestKit<IncrementorState> kit = TestKit.of(Incrementor::new, "u1");
  private final IncrementorRef counter = IncrementorClient.of(kit).ref("u1");

  @Test
  void amountsAddUpAcrossCallsAndCasts() {
    assertEquals(5, counter.add(add(5)).getTotal());
    counter.cast(CastRequest.newBuilder().setAmount(-2).build());
    var total = counter.total(TotalRequest.getDefaultInstance());
    assertEquals(3, total.getTotal());
    assertEquals(2, total.getAdditions());
    assertEquals("java", counter.add(add(1)).getLanguage());
  }

  @Test
  void aRepeatedIdempotencyKeyAddsOnce() {
    CallOptions once = CallOptions.DEFAULT.withIdempotencyKey("k1");
    assertEquals(7, counter.add(add(7), once).getTotal());
    assertEquals(7, counter.add(add(7), once).getTotal());
    assertEquals(1, kit.state().getAdditions());
  }

  @Test
  void aStoppedCounterRefusesAndKeepsItsTotal() {
    counter.add(add(4));
    assertEquals(4, counter.stop(StopRequest.getDefaultInstance()).getTotal());
    ActorError error = assertThrows(ActorError.class, () -> counter.add(add(1)));
    assertEquals("COUNTER_STOPPED", error.reason());
    assertEquals(4, kit.state().getTotal());
  }

  @Test
  void aCounterSurvivesItsLives() {
    counter.add(add(1));
    kit.restart();
    kit.clock().advance(Duration.ofHours(1));
    counter.add(add(1));
    assertEquals(3, kit.state().getLives());
    assertEquals(2, kit.state().getTotal());
  }

  @Test
  void anOverflowIsAnErrorAndChangesNothing() {
    counter.add(add(Long.MAX_VALUE));
    assertThrows(ActorError.class, () -> counter.add(add(1)));
    assertEquals(Long.MAX_VALUE, kit.state().getTotal());
  }

  private static AddRequest add(long amount) {
    return AddRequest.newBuilder().setAmount(amount).build();
  }
}
