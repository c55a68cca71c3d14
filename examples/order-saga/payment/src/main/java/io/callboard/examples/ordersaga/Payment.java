package io.callboard.examples.ordersaga;

import io.callboard.sdk.Action;
import io.callboard.sdk.ActorError;
import io.callboard.sdk.Context;
import io.callboard.sdk.ErrorCode;
import io.callboard.sdk.JsonActor;
import io.callboard.sdk.Reply;
import java.util.Map;
import java.util.TreeMap;

/**
 * The purse of a customer: an actor per customer, which pays orders and takes payments back. It is called by sagas, so an
 * order is paid once, and taking back what was never paid is no error.
 */
public final class Payment {
  /** What a customer has, and what was paid for which order. */
  record Purse(long balance, Map<String, Long> paid) {}

  /** An order to pay. */
  record Charge(String order, long amount) {}

  /** An order whose payment is to be taken back. */
  record Refund(String order) {}

  static final Action<Long, Long> DEPOSIT = Action.json("deposit", Long.class, Long.class);
  static final Action<Charge, Void> CHARGE = Action.json("charge", Charge.class, Void.class);
  static final Action<Refund, Void> REFUND = Action.json("refund", Refund.class, Void.class);
  static final Action<Void, Purse> SHOW = Action.json("show", Void.class, Purse.class);

  static final JsonActor<Purse> ACTOR =
      JsonActor.define("Payment", Purse.class)
          .initial(() -> new Purse(0, Map.of()))
          .action(DEPOSIT, Payment::deposit)
          .action(CHARGE, Payment::charge)
          .action(REFUND, Payment::refund)
          .readOnly(SHOW, (context, none) -> context.reply(context.state()))
          .build();

  private Payment() {}

  private static Reply<Long> deposit(Context<Purse> context, Long amount) {
    Purse purse = context.update(had -> new Purse(Math.addExact(had.balance(), amount), had.paid()));
    return context.reply(purse.balance());
  }

  private static Reply<Void> charge(Context<Purse> context, Charge charge) {
    Purse purse = context.state();
    if (!purse.paid().containsKey(charge.order())) {
      if (charge.amount() > purse.balance()) {
        throw new ActorError(
            ErrorCode.FAILED_PRECONDITION,
            "NOT_ENOUGH_MONEY",
            context.self().key() + " has " + purse.balance() + ", order " + charge.order() + " costs " + charge.amount());
      }
      Map<String, Long> paid = new TreeMap<>(purse.paid());
      paid.put(charge.order(), charge.amount());
      context.update(had -> new Purse(had.balance() - charge.amount(), paid));
    }
    return context.reply((Void) null);
  }

  private static Reply<Void> refund(Context<Purse> context, Refund refund) {
    Map<String, Long> paid = new TreeMap<>(context.state().paid());
    Long amount = paid.remove(refund.order());
    if (amount != null) {
      context.update(had -> new Purse(had.balance() + amount, paid));
    }
    return context.reply((Void) null);
  }
}
