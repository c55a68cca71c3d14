package io.callboard.sdk.samples;

import io.callboard.sdk.Action;
import io.callboard.sdk.Host;
import io.callboard.sdk.JsonActor;

/** The smallest actor of the README. */
public final class Counter {
  record State(long total) {}

  record Add(long amount) {}

  record Total(long total) {}

  static final Action<Add, Total> ADD = Action.json("add", Add.class, Total.class);
  static final Action<Void, Total> TOTAL = Action.json("total", Void.class, Total.class);

  static final JsonActor<State> COUNTER =
      JsonActor.define("Counter", State.class)
          .initial(() -> new State(0))
          .action(
              ADD,
              (context, add) -> {
                State next = context.update(state -> new State(state.total() + add.amount()));
                return context.reply(new Total(next.total()));
              })
          .readOnly(TOTAL, (context, none) -> context.reply(new Total(context.state().total())))
          .build();

  private Counter() {}

  /** Serves the counter. */
  public static void main(String[] arguments) {
    Host.builder().actor(COUNTER).start().awaitShutdown();
  }
}
