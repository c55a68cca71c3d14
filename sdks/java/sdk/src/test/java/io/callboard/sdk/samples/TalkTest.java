package io.callboard.sdk.samples;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.callboard.sdk.SagaStatus;
import io.callboard.sdk.samples.Orders.Note;
import io.callboard.sdk.samples.Orders.Pay;
import io.callboard.sdk.samples.Orders.Prices;
import io.callboard.sdk.samples.Orders.State;
import io.callboard.sdk.samples.Trips.Trip;
import io.callboard.sdk.testkit.TestKit;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class TalkTest {
  @Test
  void ordersTellAndHear() {
    TestKit<State> kit = TestKit.of(Orders.ORDERS, "o1");
    kit.call(Orders.PAY, new Pay(7));
    assertEquals(new Note("o1", 7), kit.effects().get(0).argument(Orders.NOTE));
    assertEquals(new Note("o1", 7), kit.broadcasts().get(0).message(Orders.PAYMENTS));
    kit.publish(Orders.PRICES, new Prices(3));
    assertEquals(1, kit.state().prices());
    kit.clock().advance(Duration.ofSeconds(30));
    assertEquals(1, kit.checkpoints());
    kit.stub("Warehouse", Orders.SEND_OUT, (key, ship) -> key + " sends " + ship.order());
    assertEquals("w1 sends o1", kit.call(Orders.SHIP, "Elm Street"));
  }

  @Test
  void tripsAreBookedAsAWhole() {
    List<String> booked = new ArrayList<>();
    TestKit<Trips.State> kit = TestKit.of(Trips.TRIPS, "t1");
    for (String type : List.of("Hotel", "Flight")) {
      kit.stub(
          type,
          Trips.RESERVE,
          (key, none) -> {
            booked.add(key);
            return null;
          });
    }
    kit.call(Trips.BOOK, new Trip("Ritz", "LH1"));
    kit.deliver();
    assertEquals(SagaStatus.DONE, Trips.SAGA.status(kit.state()).orElseThrow());
    assertEquals(List.of("Ritz", "LH1"), booked);
  }
}
