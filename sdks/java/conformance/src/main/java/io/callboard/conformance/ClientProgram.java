package io.callboard.conformance;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.callboard.sdk.Action;
import io.callboard.sdk.ActorId;
import io.callboard.sdk.CallException;
import io.callboard.sdk.CallOptions;
import io.callboard.sdk.Channel;
import io.callboard.sdk.Client;
import io.callboard.sdk.Transport;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collections;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;

/** The client that tests/conformance.md describes. */
final class ClientProgram {
  private static final ObjectMapper MAPPER = new ObjectMapper();

  private final Map<Transport, Client> clients = new EnumMap<>(Transport.class);
  private final Map<Long, CompletableFuture<?>> calls = new HashMap<>();
  private final List<CompletableFuture<?>> printed = new ArrayList<>();

  private ClientProgram() {}

  static void run() throws Exception {
    ClientProgram program = new ClientProgram();
    BufferedReader input =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = input.readLine(); line != null; line = input.readLine()) {
      if (!line.isBlank()) {
        program.handle(MAPPER.readTree(line));
      }
    }
    CompletableFuture.allOf(program.printed.toArray(CompletableFuture[]::new)).join();
    program.clients.values().forEach(Client::close);
  }

  private void handle(JsonNode command) {
    long id = command.get("id").asLong();
    String op = command.get("op").asText();
    if (op.equals("cancel")) {
      calls.get(id).cancel(true);
      return;
    }
    CompletableFuture<?> call =
        switch (op) {
          case "invoke" -> invoke(command);
          case "send" -> send(command);
          case "publish" -> publish(command);
          case "subscribe" -> Subscriber.start(client(command), command, line -> print(id, line));
          default -> Tools.run(client(command), op, command);
        };
    calls.put(id, call);
    printed.add(call.handle((reply, error) -> print(id, reply, error)));
  }

  private Client client(JsonNode command) {
    Transport transport =
        command.path("transport").asText("stream").equals("unary") ? Transport.UNARY : Transport.STREAM;
    return clients.computeIfAbsent(transport, kind -> Client.builder().transport(kind).build());
  }

  private CompletableFuture<JsonNode> invoke(JsonNode command) {
    if (!command.has("argument")) {
      Action<Void, JsonNode> action = Action.json(command.get("action").asText(), Void.class, JsonNode.class);
      return client(command).callAsync(target(command), action, null, options(command));
    }
    return client(command).callAsync(target(command), action(command), command.get("argument"), options(command));
  }

  private CompletableFuture<Map<String, Object>> send(JsonNode command) {
    CallOptions options = options(command);
    if (command.hasNonNull("delay_ms")) {
      options = options.withDelay(Duration.ofMillis(command.get("delay_ms").asLong()));
    }
    if (command.hasNonNull("at_ms")) {
      options = options.withAt(Instant.ofEpochMilli(command.get("at_ms").asLong()));
    }
    return client(command)
        .tellAsync(target(command), action(command), command.get("argument"), options)
        .thenApply(
            accepted -> {
              Map<String, Object> facts = new LinkedHashMap<>();
              facts.put("request_id", accepted.requestId());
              facts.put("durable", accepted.durable());
              facts.put("schedule", accepted.schedule().orElse(null));
              return facts;
            });
  }

  private CompletableFuture<Map<String, Object>> publish(JsonNode command) {
    Channel<JsonNode> channel = Channel.json(command.get("channel").asText(), JsonNode.class);
    return client(command)
        .publishAsync(channel, command.get("message"), options(command))
        .thenApply(said -> Map.of("request_id", said.requestId(), "types", said.types()));
  }

  private static ActorId target(JsonNode command) {
    return ActorId.of(command.get("type").asText(), command.get("key").asText());
  }

  private static Action<JsonNode, JsonNode> action(JsonNode command) {
    return Action.json(command.get("action").asText(), JsonNode.class, JsonNode.class);
  }

  static Map<String, String> metadata(JsonNode command) {
    Map<String, String> metadata = new HashMap<>();
    command.path("metadata").fields().forEachRemaining(e -> metadata.put(e.getKey(), e.getValue().asText()));
    return metadata;
  }

  private static CallOptions options(JsonNode command) {
    CallOptions options = CallOptions.DEFAULT;
    if (command.hasNonNull("timeout_ms")) {
      options = options.withTimeout(Duration.ofMillis(command.get("timeout_ms").asLong()));
    }
    if (command.hasNonNull("idempotency_key")) {
      options = options.withIdempotencyKey(command.get("idempotency_key").asText());
    }
    return options.withMetadata(metadata(command));
  }

  private static Void print(long id, Object reply, Throwable error) {
    if (error == null) {
      return print(id, Collections.singletonMap("ok", reply));
    }
    return print(id, Map.of("error", describe(error instanceof CompletionException ? error.getCause() : error)));
  }

  /** One line, whole, whoever prints at the same time. */
  private static synchronized Void print(long id, Map<String, ?> facts) {
    Map<String, Object> line = new LinkedHashMap<>();
    line.put("id", id);
    line.putAll(facts);
    try {
      System.out.println(MAPPER.writeValueAsString(line));
    } catch (java.io.IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
    return null;
  }

  private static Map<String, Object> describe(Throwable error) {
    if (error instanceof CallException call) {
      Map<String, Object> facts = new LinkedHashMap<>();
      facts.put("reason", call.reason());
      facts.put("code", call.code().number());
      facts.put("message", call.getMessage());
      facts.put("retry", call.retry().name());
      facts.put("from_actor", call.fromActor());
      facts.put("metadata", call.metadata());
      return facts;
    }
    boolean cancelled = error instanceof CancellationException;
    return Map.of(
        "reason", cancelled ? "CANCELLED" : "INTERNAL",
        "code", cancelled ? 1 : 13,
        "message", String.valueOf(error),
        "retry", "NEVER",
        "from_actor", false,
        "metadata", Map.of());
  }
}
