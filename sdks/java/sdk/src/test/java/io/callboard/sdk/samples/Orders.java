package io.callboard.sdk.samples;

import io.callboard.sdk.Action;
import io.callboard.sdk.ActorId;
import io.callboard.sdk.Channel;
import io.callboard.sdk.Deliver;
import io.callboard.sdk.JsonActor;
import java.time.Duration;

/** What actors say to each other, in the README. */
final class Orders {
  record State(long paid, int prices) {}

  record Pay(long amount) {}

  record Note(String order, long amount) {}

  record Ship(String order, String address) {}

  record Prices(long apples) {}

  private Orders() {}

  static final Action<Note, Void> NOTE = Action.json("note", Note.class, Void.class);
  static final Action<Void, Void> REMIND = Action.json("remind", Void.class, Void.class);
  static final Action<Ship, String> SEND_OUT = Action.json("send_out", Ship.class, String.class);
  static final Action<Pay, Long> PAY = Action.json("pay", Pay.class, Long.class);
  static final Action<String, String> SHIP = Action.json("ship", String.class, String.class);
  static final Action<Prices, Void> REPRICED = Action.json("repriced", Prices.class, Void.class);
  static final Action<Void, Void> FLUSH = Action.json("flush", Void.class, Void.class);
  static final Channel<Note> PAYMENTS = Channel.json("payments", Note.class);
  static final Channel<Prices> PRICES = Channel.json("prices", Prices.class);

  static final JsonActor<State> ORDERS =
      JsonActor.define("Orders", State.class)
          .initial(() -> new State(0, 0))
          .action(
              PAY,
              (context, pay) -> {
                State next =
                    context.update(state -> new State(state.paid() + pay.amount(), state.prices()));
                String order = context.self().key();
                Note note = new Note(order, pay.amount());
                context.tell(ActorId.of("Audit", "main").action(NOTE).with(note));
                context.tell(ActorId.of("Mailer", order).action(REMIND).with(null), Duration.ofDays(3));
                context.broadcast(PAYMENTS, note);
                return context.reply(next.paid());
              })
          .action(
              SHIP,
              (context, address) -> {
                // The warehouse answers the caller in this actor's place.
                Ship ship = new Ship(context.self().key(), address);
                return context.pipe(ActorId.of("Warehouse", "w1").action(SEND_OUT).with(ship));
              })
          .action(
              REPRICED,
              (context, prices) -> {
                context.update(state -> new State(state.paid(), state.prices() + 1));
                return context.reply((Void) null);
              })
          .action(
              FLUSH,
              (context, none) -> {
                context.checkpoint();
                return context.reply((Void) null);
              })
          .timer(FLUSH, Duration.ofSeconds(30))
          .channel(PRICES, REPRICED, Deliver.EVERY)
          .history(100, Duration.ofDays(7))
          .build();
}
