package io.callboard.conformance;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.callboard.sdk.Action;
import io.callboard.sdk.ActorId;
import io.callboard.sdk.CallException;
import io.callboard.sdk.CallOptions;
import io.callboard.sdk.Client;
import io.callboard.sdk.Codecs;
import io.callboard.sdk.Transport;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
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
  private final Map<Long, CompletableFuture<JsonNode>> calls = new HashMap<>();
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
    if (command.get("op").asText().equals("cancel")) {
      calls.get(id).cancel(true);
      return;
    }
    CompletableFuture<JsonNode> call = invoke(command);
    calls.put(id, call);
    printed.add(call.handle((reply, error) -> print(id, reply, error)));
  }

  private CompletableFuture<JsonNode> invoke(JsonNode command) {
    Transport transport =
        command.path("transport").asText("stream").equals("unary") ? Transport.UNARY : Transport.STREAM;
    Client client =
        clients.computeIfAbsent(transport, kind -> Client.builder().transport(kind).build());
    CallOptions options = CallOptions.DEFAULT;
    if (command.hasNonNull("timeout_ms")) {
      options = options.withTimeout(Duration.ofMillis(command.get("timeout_ms").asLong()));
    }
    if (command.hasNonNull("idempotency_key")) {
      options = options.withIdempotencyKey(command.get("idempotency_key").asText());
    }
    if (command.hasNonNull("metadata")) {
      Map<String, String> metadata = new HashMap<>();
      command.get("metadata").fields().forEachRemaining(e -> metadata.put(e.getKey(), e.getValue().asText()));
      options = options.withMetadata(metadata);
    }
    ActorId target = ActorId.of(command.get("type").asText(), command.get("key").asText());
    String name = command.get("action").asText();
    if (!command.has("argument")) {
      return client.callAsync(
          target, new Action<>(name, Codecs.json(Void.class), Codecs.json(JsonNode.class)), null, options);
    }
    Action<JsonNode, JsonNode> action = Action.json(name, JsonNode.class, JsonNode.class);
    return client.callAsync(target, action, command.get("argument"), options);
  }

  private static synchronized Void print(long id, JsonNode reply, Throwable error) {
    Map<String, Object> line = new LinkedHashMap<>();
    line.put("id", id);
    if (error == null) {
      line.put("ok", reply);
    } else {
      line.put("error", describe(error instanceof CompletionException ? error.getCause() : error));
    }
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
