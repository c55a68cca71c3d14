package io.callboard.conformance;

import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import io.callboard.sdk.Action;
import io.callboard.sdk.ActorAction;
import io.callboard.sdk.ActorCall;
import io.callboard.sdk.ActorError;
import io.callboard.sdk.ActorId;
import io.callboard.sdk.Channel;
import io.callboard.sdk.Context;
import io.callboard.sdk.Deliver;
import io.callboard.sdk.ErrorCode;
import io.callboard.sdk.Host;
import io.callboard.sdk.HostMode;
import io.callboard.sdk.JsonActor;
import io.callboard.sdk.ReadContext;
import io.callboard.sdk.Reply;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The host that tests/conformance.md describes. */
@SuppressWarnings("rawtypes") // Jackson needs a class, and a class has no type arguments.
final class HostProgram {
  private HostProgram() {}

  record State(long total) {}

  record None() {}

  record Add(long amount) {}

  record Total(long total) {}

  record Fail(String reason, String message) {}

  record Block(long ms) {}

  record Call(String type, String key, String action, JsonNode argument) {}

  record Called(JsonNode reply) {}

  record Calls(String type, String key, String action, int count) {}

  record AllCalled(List<JsonNode> replies) {}

  record Tag(String name, String value) {}

  record Told(
      String type,
      String key,
      String action,
      JsonNode argument,
      @JsonProperty("delay_ms") Long delayMs,
      @JsonProperty("at_ms") Long atMs,
      Map<String, String> metadata) {}

  record Said(String channel, JsonNode message, Map<String, String> metadata) {}

  record Workflow(
      List<Told> tell,
      List<Said> broadcast,
      Call pipe,
      Call forward,
      boolean checkpoint,
      boolean deactivate,
      boolean fail) {}

  record Work(long n) {}

  static final Action<Void, Map> TICK = Action.json("tick", Void.class, Map.class);
  static final Action<JsonNode, Map> NEWS = Action.json("news", JsonNode.class, Map.class);
  static final Channel<JsonNode> NEWS_CHANNEL = Channel.json("news", JsonNode.class);
  static final Channel<JsonNode> ALERTS_CHANNEL = Channel.json("alerts", JsonNode.class);

  static void run() {
    Host.Builder host = Host.builder().actor(conformance()).actor(pool());
    if ("sidecar".equals(System.getenv("CALLBOARD_CONFORMANCE_MODE"))) {
      host.mode(HostMode.SIDECAR);
    }
    host.start().awaitShutdown();
  }

  private static JsonActor<Void> pool() {
    return JsonActor.define("ConformancePool", Void.class)
        .pooled(1, 4)
        .action(
            Action.json("work", Work.class, Work.class),
            (context, work) -> context.reply(new Work(2 * work.n())))
        .build();
  }

  private static JsonActor<State> conformance() {
    JsonActor.Builder<State> actor =
        JsonActor.define("Conformance", State.class)
            .initial(() -> new State(0))
            .action(Action.json("add", Add.class, Total.class), HostProgram::add)
            .action(Action.json("fail", Fail.class, None.class), HostProgram::fail)
            .action(Action.json("crash", None.class, None.class), HostProgram::crash)
            .readOnly(
                Action.json("read", None.class, Total.class),
                (context, none) -> context.reply(new Total(context.state().total())))
            .readOnly(Action.json("mutate_read", None.class, Total.class), HostProgram::mutateRead)
            .action(Action.json("wait", None.class, None.class), HostProgram::waitForCancel)
            .action(Action.json("block", Block.class, None.class), HostProgram::block)
            .action(Action.json("call", Call.class, Called.class), HostProgram::call)
            .action(Action.json("calls", Calls.class, AllCalled.class), HostProgram::calls)
            .action(Action.json("context", None.class, Map.class), HostProgram::context)
            .action(Action.json("tag", Tag.class, None.class), HostProgram::tag)
            .readOnly(
                Action.json("tags", None.class, Map.class),
                (context, none) -> context.reply(new HashMap<>(context.tags())))
            .action(Action.json("none", None.class, Void.class), (context, none) -> context.reply(null));
    return actor
        .action(Action.json("workflow", Workflow.class, JsonNode.class), HostProgram::workflow)
        .readOnly(Action.json("tell_read", None.class, Total.class), HostProgram::tellRead)
        .action(TICK, HostProgram::tick)
        .action(NEWS, HostProgram::hear)
        .action(Action.json("receive", JsonNode.class, Map.class), HostProgram::hear)
        .timer(TICK, Duration.ofSeconds(5))
        .channel(NEWS_CHANNEL, NEWS, Deliver.EVERY)
        .channel(ALERTS_CHANNEL)
        .history(10, Duration.ofHours(1))
        .build();
  }

  private static Reply<Total> add(Context<State> context, Add add) {
    State next = context.update(state -> new State(state.total() + add.amount()));
    return context.reply(new Total(next.total()));
  }

  private static Reply<None> fail(Context<State> context, Fail fail) {
    context.update(state -> new State(state.total() + 1000));
    throw new ActorError(ErrorCode.FAILED_PRECONDITION, fail.reason(), fail.message());
  }

  private static Reply<None> crash(Context<State> context, None none) {
    context.update(state -> new State(state.total() + 1000));
    throw new IllegalStateException("boom");
  }

  private static Reply<Total> mutateRead(ReadContext<State> context, None none) {
    if (context instanceof Context<State> writable) {
      try {
        writable.update(state -> new State(state.total() + 1000));
      } catch (IllegalStateException refused) {
        context.log().log(System.Logger.Level.DEBUG, refused.getMessage());
      }
    }
    return context.reply(new Total(context.state().total()));
  }

  private static Reply<None> waitForCancel(Context<State> context, None none) {
    while (true) {
      context.cancellation().sleep(Duration.ofMinutes(1));
    }
  }

  private static Reply<None> block(Context<State> context, Block block) {
    long end = System.nanoTime() + block.ms() * 1_000_000;
    while (System.nanoTime() < end) {
      Thread.onSpinWait();
    }
    return context.reply(new None());
  }

  private static Reply<Called> call(Context<State> context, Call call) {
    Action<JsonNode, JsonNode> action = Action.json(call.action(), JsonNode.class, JsonNode.class);
    JsonNode reply = context.call(ActorId.of(call.type(), call.key()), action, call.argument());
    return context.reply(new Called(reply));
  }

  private static Reply<AllCalled> calls(Context<State> context, Calls calls) {
    Action<Add, JsonNode> action = Action.json(calls.action(), Add.class, JsonNode.class);
    List<JsonNode> replies = new ArrayList<>();
    for (int i = 0; i < calls.count(); i++) {
      replies.add(context.call(ActorId.of(calls.type(), calls.key()), action, new Add(i)));
    }
    return context.reply(new AllCalled(replies));
  }

  private static Reply<Map> context(Context<State> context, None none) {
    Map<String, Object> facts = new HashMap<>();
    facts.put("request_id", context.requestId());
    facts.put("attempt", context.attempt());
    facts.put("key", context.self().key());
    facts.put("caller", context.caller().orElse(null));
    facts.put("metadata", context.metadata());
    facts.put("epoch", context.fencingToken().epoch());
    facts.put("revision", context.fencingToken().revision());
    facts.put("created_at_ms", context.createdAt().toEpochMilli());
    return context.reply(facts);
  }

  private static Reply<None> tag(Context<State> context, Tag tag) {
    if (tag.value().isEmpty()) {
      context.removeTag(tag.name());
    } else {
      context.setTag(tag.name(), tag.value());
    }
    return context.reply(new None());
  }

  private static Reply<JsonNode> workflow(Context<State> context, Workflow workflow) {
    State next = context.update(state -> new State(state.total() + 1));
    for (Told told : listed(workflow.tell())) {
      tell(context, told);
    }
    for (Said said : listed(workflow.broadcast())) {
      Map<String, String> metadata = said.metadata() == null ? Map.of() : said.metadata();
      context.broadcast(Channel.json(said.channel(), JsonNode.class), said.message(), metadata);
    }
    if (workflow.checkpoint()) {
      context.checkpoint();
    }
    if (workflow.deactivate()) {
      context.deactivate();
    }
    if (workflow.fail()) {
      throw new ActorError(ErrorCode.FAILED_PRECONDITION, "ON_PURPOSE", "asked to fail");
    }
    if (workflow.pipe() != null) {
      return context.pipe(next(workflow.pipe()).with(workflow.pipe().argument()));
    }
    if (workflow.forward() != null) {
      return context.forward(next(workflow.forward()));
    }
    return context.reply(JsonNodeFactory.instance.objectNode().put("total", next.total()));
  }

  private static void tell(Context<State> context, Told told) {
    Map<String, String> metadata = told.metadata() == null ? Map.of() : told.metadata();
    ActorId target = ActorId.of(told.type(), told.key());
    ActorCall<?, ?> call =
        told.argument() == null
            ? target.action(Action.json(told.action(), Void.class, Void.class)).with(null).withMetadata(metadata)
            : target
                .action(Action.json(told.action(), JsonNode.class, Void.class))
                .with(told.argument())
                .withMetadata(metadata);
    if (told.delayMs() != null) {
      context.tell(call, Duration.ofMillis(told.delayMs()));
    } else if (told.atMs() != null) {
      context.tell(call, Instant.ofEpochMilli(told.atMs()));
    } else {
      context.tell(call);
    }
  }

  private static ActorAction<JsonNode, JsonNode> next(Call call) {
    return ActorId.of(call.type(), call.key())
        .action(Action.json(call.action(), JsonNode.class, JsonNode.class));
  }

  private static <T> List<T> listed(List<T> list) {
    return list == null ? List.of() : list;
  }

  private static Reply<Total> tellRead(ReadContext<State> context, None none) {
    if (context instanceof Context<State> writable) {
      try {
        writable.tell(ActorId.of("Other", "o").action(Action.json("add", Add.class, Void.class)).with(new Add(1)));
      } catch (IllegalStateException refused) {
        context.log().log(System.Logger.Level.DEBUG, refused.getMessage());
      }
    }
    return context.reply(new Total(context.state().total()));
  }

  private static Reply<Map> tick(Context<State> context, Void none) {
    context.update(state -> new State(state.total() + 1));
    Map<String, Object> facts = new HashMap<>();
    facts.put("timer", context.metadata().get("callboard-timer"));
    return context.reply(facts);
  }

  private static Reply<Map> hear(Context<State> context, JsonNode message) {
    context.update(state -> new State(state.total() + 1));
    Map<String, Object> facts = new HashMap<>();
    facts.put("channel", context.metadata().get("callboard-channel"));
    facts.put("message", message);
    return context.reply(facts);
  }
}
