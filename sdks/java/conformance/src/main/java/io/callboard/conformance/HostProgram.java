package io.callboard.conformance;

import com.fasterxml.jackson.databind.JsonNode;
import io.callboard.sdk.Action;
import io.callboard.sdk.ActorError;
import io.callboard.sdk.ActorId;
import io.callboard.sdk.Context;
import io.callboard.sdk.ErrorCode;
import io.callboard.sdk.Host;
import io.callboard.sdk.HostMode;
import io.callboard.sdk.JsonActor;
import io.callboard.sdk.ReadContext;
import io.callboard.sdk.Reply;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The host that tests/conformance.md describes. */
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

  static void run() {
    JsonActor<State> actor =
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
            .action(Action.json("none", None.class, Void.class), (context, none) -> context.reply(null))
            .build();
    Host.Builder host = Host.builder().actor(actor);
    if ("sidecar".equals(System.getenv("CALLBOARD_CONFORMANCE_MODE"))) {
      host.mode(HostMode.SIDECAR);
    }
    host.start().awaitShutdown();
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

  @SuppressWarnings("rawtypes") // Jackson needs a class, and a class has no type arguments.
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
}
