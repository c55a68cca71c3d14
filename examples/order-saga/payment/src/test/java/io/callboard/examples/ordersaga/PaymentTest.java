package io.callboard.examples.ordersaga;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.callboard.examples.ordersaga.Payment.Charge;
import io.callboard.examples.ordersaga.Payment.Purse;
import io.callboard.examples.ordersaga.Payment.Refund;
import io.callboard.sdk.ActorError;
import io.callboard.sdk.testkit.TestKit;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** The purse, tested without a node. */
final class PaymentTest {
  private final TestKit<Purse> kit = TestKit.of(Payment.ACTOR, "ada");

  @Test
  void anOrderIsPaidOnceHoweverOftenItIsCharged() {
    kit.call(Payment.DEPOSIT, 10L);
    kit.call(Payment.CHARGE, new Charge("o1", 6));
    kit.call(Payment.CHARGE, new Charge("o1", 6));
    assertEquals(new Purse(4, Map.of("o1", 6L)), kit.call(Payment.SHOW, null));
  }

  @Test
  void whatWasNeverPaidIsRefundedWithoutComplaint() {
    kit.call(Payment.DEPOSIT, 10L);
    kit.call(Payment.CHARGE, new Charge("o1", 6));
    kit.call(Payment.REFUND, new Refund("o1"));
    kit.call(Payment.REFUND, new Refund("o1"));
    kit.call(Payment.REFUND, new Refund("o2"));
    assertEquals(new Purse(10, Map.of()), kit.state());
  }

  @Test
  void whatCannotBePaidIsRefused() {
    kit.call(Payment.DEPOSIT, 5L);
    ActorError refused =
        assertThrows(ActorError.class, () -> kit.call(Payment.CHARGE, new Charge("o1", 6)));
    assertEquals("NOT_ENOUGH_MONEY", refused.reason());
    assertEquals(5, kit.state().balance());
  }
}
