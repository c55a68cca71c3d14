package io.callboard.sdk.samples;

import io.callboard.sdk.ActorCall;
import io.callboard.sdk.ActorError;
import io.callboard.sdk.ActorId;
import io.callboard.sdk.CallOptions;
import io.callboard.sdk.ChannelItem;
import io.callboard.sdk.ChannelMessage;
import io.callboard.sdk.Client;
import io.callboard.sdk.Missed;
import io.callboard.sdk.Schedule;
import io.callboard.sdk.Subscription;
import io.callboard.sdk.When;
import io.callboard.sdk.samples.Counter.Add;
import io.callboard.sdk.samples.Counter.Total;
import java.time.Duration;
import java.time.ZoneId;
import java.util.concurrent.CompletableFuture;

/** The calls of the README. */
final class Calling {
  private Calling() {}

  static void call() {
    try (Client client = Client.connect()) {
      ActorId counter = ActorId.of("Counter", "u1");
      CallOptions options =
          CallOptions.DEFAULT.withTimeout(Duration.ofSeconds(2)).withIdempotencyKey("order-17");
      Total total = client.call(counter, Counter.ADD, new Add(1), options);
      CompletableFuture<Total> later = client.callAsync(counter, Counter.TOTAL, null);
      client.tell(counter, Counter.ADD, new Add(1));
      System.out.println(total.total() + " then " + later.join().total());
    } catch (ActorError refusal) {
      System.out.println("the actor said no: " + refusal.reason());
    }
  }

  static void listen(Client client) {
    try (Subscription payments = client.subscribe("payments")) {
      for (ChannelItem item : payments) {
        if (item instanceof ChannelMessage message) {
          System.out.println(message.message(Orders.PAYMENTS).amount());
        } else if (item instanceof Missed missed) {
          System.out.println(missed.messages() + " messages were lost; look at the state itself");
        }
      }
    }
  }

  static void remindDaily(Client client) {
    ActorCall<Void, Void> call = ActorId.of("Mailer", "o1").action(Orders.REMIND).with(null);
    When mornings = When.cron("0 9 * * MON-FRI").withZone(ZoneId.of("Europe/Berlin"));
    Schedule schedule = client.schedules().create("mornings", call, mornings);
    System.out.println(schedule.next().orElseThrow());
  }
}
