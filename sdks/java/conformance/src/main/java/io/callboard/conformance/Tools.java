package io.callboard.conformance;

import com.fasterxml.jackson.databind.JsonNode;
import io.callboard.sdk.Action;
import io.callboard.sdk.ActorCall;
import io.callboard.sdk.ActorId;
import io.callboard.sdk.Client;
import io.callboard.sdk.Codec;
import io.callboard.sdk.Codecs;
import io.callboard.sdk.DeadLetter;
import io.callboard.sdk.Overlap;
import io.callboard.sdk.PastState;
import io.callboard.sdk.Restored;
import io.callboard.sdk.Schedule;
import io.callboard.sdk.When;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneId;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.stream.StreamSupport;

/** The commands for schedules, single actors and dead letters. */
final class Tools {
  private static final Codec<JsonNode> JSON = Codecs.json(JsonNode.class);
  private static final ExecutorService THREADS =
      Executors.newCachedThreadPool(
          task -> {
            Thread thread = new Thread(task);
            thread.setDaemon(true);
            return thread;
          });

  private Tools() {}

  /** Runs a command beside the others, for the SDK's tools wait for their answers. */
  static CompletableFuture<Object> run(Client client, String op, JsonNode command) {
    return CompletableFuture.supplyAsync(() -> answer(client, op, command), THREADS);
  }

  private static Object answer(Client client, String op, JsonNode command) {
    return op.endsWith("_schedule") || op.endsWith("_schedules")
        ? schedules(client, op, command)
        : actors(client, op, command);
  }

  private static Object schedules(Client client, String op, JsonNode command) {
    var schedules = client.schedules();
    String name = command.path("name").asText();
    switch (op) {
      case "create_schedule" -> {
        ActorCall<?, ?> call = call(command.get("spec"));
        When when = when(command.get("spec"));
        if (name.isEmpty()) {
          return describe(schedules.create(call, when));
        }
        boolean paused = command.path("paused").asBoolean();
        return describe(
            paused ? schedules.createPaused(name, call, when) : schedules.create(name, call, when));
      }
      case "update_schedule" -> {
        long generation = command.path("if_generation").asLong();
        return describe(
            schedules.update(name, call(command.get("spec")), when(command.get("spec")), generation));
      }
      case "get_schedule" -> {
        return describe(schedules.get(name));
      }
      case "pause_schedule" -> {
        return describe(schedules.pause(name));
      }
      case "resume_schedule" -> {
        return describe(schedules.resume(name));
      }
      case "trigger_schedule" -> {
        return describe(schedules.trigger(name));
      }
      case "list_schedules" -> {
        return schedules.list(command.path("prefix").asText()).map(Tools::describe).toList();
      }
      case "delete_schedule" -> {
        schedules.delete(name);
        return null;
      }
      case "preview_schedule" -> {
        JsonNode spec = command.get("spec");
        Instant after = Instant.ofEpochMilli(command.path("after_ms").asLong());
        return schedules.preview(call(spec), when(spec), command.path("count").asInt(), after).stream()
            .map(Instant::toEpochMilli)
            .toList();
      }
      default -> throw new IllegalArgumentException("unknown command " + op);
    }
  }

  private static ActorCall<?, ?> call(JsonNode spec) {
    ActorId target = ActorId.of(spec.get("type").asText(), spec.get("key").asText());
    String action = spec.get("action").asText();
    Map<String, String> metadata = ClientProgram.metadata(spec);
    if (!spec.has("argument")) {
      return target.action(Action.json(action, Void.class, Void.class)).with(null).withMetadata(metadata);
    }
    return target
        .action(Action.json(action, JsonNode.class, Void.class))
        .with(spec.get("argument"))
        .withMetadata(metadata);
  }

  private static When when(JsonNode spec) {
    When when = times(spec);
    if (spec.hasNonNull("time_zone")) {
      when = when.withZone(ZoneId.of(spec.get("time_zone").asText()));
    }
    if (spec.hasNonNull("jitter_ms")) {
      when = when.withJitter(Duration.ofMillis(spec.get("jitter_ms").asLong()));
    }
    if (spec.hasNonNull("overlap")) {
      when = when.withOverlap(Overlap.valueOf(spec.get("overlap").asText().toUpperCase(Locale.ROOT)));
    }
    if (spec.hasNonNull("catch_up_ms")) {
      when = when.withCatchUp(Duration.ofMillis(spec.get("catch_up_ms").asLong()));
    }
    if (spec.hasNonNull("starts_at_ms")) {
      when = when.withStart(Instant.ofEpochMilli(spec.get("starts_at_ms").asLong()));
    }
    if (spec.hasNonNull("ends_at_ms")) {
      when = when.withEnd(Instant.ofEpochMilli(spec.get("ends_at_ms").asLong()));
    }
    return spec.hasNonNull("max_firings") ? when.withMaxFirings(spec.get("max_firings").asLong()) : when;
  }

  private static When times(JsonNode spec) {
    if (spec.hasNonNull("at_ms")) {
      return When.at(Instant.ofEpochMilli(spec.get("at_ms").asLong()));
    }
    if (spec.hasNonNull("delay_ms")) {
      return When.after(Duration.ofMillis(spec.get("delay_ms").asLong()));
    }
    if (spec.hasNonNull("every_ms")) {
      return When.every(Duration.ofMillis(spec.get("every_ms").asLong()));
    }
    return When.cron(spec.get("cron").asText());
  }

  private static Map<String, Object> describe(Schedule schedule) {
    Map<String, Object> facts = new LinkedHashMap<>();
    facts.put("name", schedule.name());
    facts.put("type", schedule.target().type());
    facts.put("key", schedule.target().key());
    facts.put("action", schedule.action());
    facts.put("argument", schedule.argument(JSON));
    facts.put("paused", schedule.paused());
    facts.put("generation", schedule.generation());
    facts.put("next_ms", millis(schedule.next()));
    facts.put("fired", schedule.fired());
    facts.put("missed", schedule.missed());
    facts.put("failed", schedule.failed());
    facts.put("last_fired_ms", millis(schedule.lastFired()));
    facts.put("last_error", schedule.lastError().orElse(null));
    return facts;
  }

  private static Long millis(Optional<Instant> time) {
    return time.map(Instant::toEpochMilli).orElse(null);
  }

  private static Object actors(Client client, String op, JsonNode command) {
    ActorId actor = ActorId.of(command.path("type").asText(), command.path("key").asText());
    switch (op) {
      case "checkpoint_actor" -> {
        return Map.of("revision", client.actors().checkpoint(actor));
      }
      case "delete_actor" -> {
        return Map.of("revision", client.actors().delete(actor));
      }
      case "deactivate_actor" -> {
        client.actors().deactivate(actor);
        return null;
      }
      case "history" -> {
        return client.actors().history(actor)
            .map(
                one ->
                    Map.of(
                        "revision", one.revision(),
                        "committed_at_ms", one.committedAt().toEpochMilli(),
                        "state_bytes", one.stateBytes()))
            .toList();
      }
      case "state_at" -> {
        return describe(
            command.has("revision")
                ? client.actors().stateAt(actor, command.get("revision").asLong(), JSON)
                : client.actors().stateAt(actor, Instant.ofEpochMilli(command.get("time_ms").asLong()), JSON));
      }
      case "restore_actor" -> {
        Restored restored =
            command.has("revision")
                ? client.actors().restore(actor, command.get("revision").asLong())
                : client.actors().restore(actor, Instant.ofEpochMilli(command.get("time_ms").asLong()));
        return Map.of("revision", restored.revision(), "restored", restored.restored());
      }
      case "list_dead_letters" -> {
        return client.deadLetters().list(command.path("source_type").asText()).map(Tools::describe).toList();
      }
      case "retry_dead_letter" -> {
        client.deadLetters().retry(command.get("letter").asText());
        return null;
      }
      case "drop_dead_letter" -> {
        client.deadLetters().drop(command.get("letter").asText());
        return null;
      }
      default -> throw new IllegalArgumentException("unknown command " + op);
    }
  }

  private static Map<String, Object> describe(PastState<JsonNode> past) {
    Map<String, Object> facts = new LinkedHashMap<>();
    facts.put("revision", past.revision());
    facts.put("committed_at_ms", past.committedAt().toEpochMilli());
    facts.put("state", past.state());
    facts.put("tags", past.tags());
    return facts;
  }

  private static Map<String, Object> describe(DeadLetter letter) {
    Map<String, Object> facts = new LinkedHashMap<>();
    facts.put("letter", letter.id());
    facts.put("source", letter.source());
    facts.put("target", letter.target());
    facts.put("action", letter.action());
    facts.put("argument", letter.argument(JSON));
    facts.put("request_id", letter.requestId());
    facts.put("reason", letter.error().reason());
    facts.put("message", letter.error().getMessage());
    facts.put("attempts", letter.attempts());
    facts.put("created_at_ms", letter.createdAt().toEpochMilli());
    facts.put("died_at_ms", letter.diedAt().toEpochMilli());
    return facts;
  }

  static String[] texts(JsonNode list) {
    return StreamSupport.stream(list.spliterator(), false).map(JsonNode::asText).toArray(String[]::new);
  }
}
