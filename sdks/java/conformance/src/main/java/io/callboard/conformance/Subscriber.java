package io.callboard.conformance;

import com.fasterxml.jackson.databind.JsonNode;
import io.callboard.sdk.Channel;
import io.callboard.sdk.ChannelItem;
import io.callboard.sdk.ChannelMessage;
import io.callboard.sdk.Client;
import io.callboard.sdk.Missed;
import io.callboard.sdk.Subscription;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;

/** The command {@code subscribe}: a thread that takes items and prints them. */
final class Subscriber {
  private Subscriber() {}

  /** Completes only by the error that ends the subscription; cancelling it closes the subscription. */
  static CompletableFuture<Void> start(Client client, JsonNode command, Consumer<Map<String, ?>> print) {
    String[] channels = Tools.texts(command.get("channels"));
    Subscription subscription = client.subscribe(channels);
    CompletableFuture<Void> ended = new CompletableFuture<>();
    Thread thread =
        new Thread(
            () -> {
              try {
                for (ChannelItem item : subscription) {
                  print.accept(line(item));
                }
              } catch (RuntimeException e) {
                ended.completeExceptionally(e);
              }
            });
    thread.setDaemon(true);
    thread.start();
    ended.whenComplete((nothing, error) -> subscription.close());
    return ended;
  }

  private static Map<String, ?> line(ChannelItem item) {
    if (item instanceof Missed missed) {
      return Map.of("missed", missed.messages());
    }
    ChannelMessage message = (ChannelMessage) item;
    Map<String, Object> facts = new LinkedHashMap<>();
    facts.put("channel", message.channel());
    facts.put("id", message.id());
    facts.put("message", message.message(Channel.json(message.channel(), JsonNode.class)));
    facts.put("metadata", message.metadata());
    facts.put("source", message.source().orElse(null));
    facts.put("published_at_ms", message.publishedAt().toEpochMilli());
    return Map.of("message", facts);
  }
}
