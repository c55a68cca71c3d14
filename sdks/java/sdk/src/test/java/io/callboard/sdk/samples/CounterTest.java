package io.callboard.sdk.samples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.callboard.sdk.CallException;
import io.callboard.sdk.samples.Counter.Add;
import io.callboard.sdk.samples.Counter.State;
import io.callboard.sdk.testkit.Fault;
import io.callboard.sdk.testkit.TestCall;
import io.callboard.sdk.testkit.TestKit;
import java.time.Duration;
import org.junit.jupiter.api.Test;

class CounterTest {
  @Test
  void amountsAddUpAndSurviveARestart() {
    TestKit<State> kit = TestKit.of(Counter.COUNTER, "u1");
    kit.call(Counter.ADD, new Add(2));
    kit.restart();
    kit.clock().advance(Duration.ofHours(1));
    assertEquals(5, kit.call(Counter.ADD, new Add(3)).total());
    assertEquals(new State(5), kit.state());
  }

  @Test
  void aRetryAfterALostReplyAddsOnce() {
    TestKit<State> kit = TestKit.of(Counter.COUNTER, "u1");
    TestCall call = TestCall.plain().withRequestId("r1");
    assertThrows(
        CallException.class,
        () -> kit.call(Counter.ADD, new Add(2), call.withFault(Fault.AFTER_COMMIT)));
    assertEquals(2, kit.call(Counter.ADD, new Add(2), call).total());
  }
}
