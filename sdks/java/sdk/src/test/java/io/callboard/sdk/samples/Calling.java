package io.callboard.sdk.samples;

import io.callboard.sdk.ActorError;
import io.callboard.sdk.ActorId;
import io.callboard.sdk.CallOptions;
import io.callboard.sdk.Client;
import io.callboard.sdk.samples.Counter.Add;
import io.callboard.sdk.samples.Counter.Total;
import java.time.Duration;
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
}
