package io.callboard.sdk;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.callboard.sdk.testkit.Effect;
import io.callboard.sdk.testkit.NextCall;
import io.callboard.sdk.testkit.TestKit;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** What turns set going, and what the test kit makes of it. */
class WorkflowTest {
  record Log(List<String> lines) {}

  record Note(String text) {}

  private static final Action<Note, Void> NOTE = Action.json("note", Note.class, Void.class);
  private static final Action<Note, Integer> PASS = Action.json("pass", Note.class, Integer.class);
  private static final Action<Note, Integer> HAND_ON = Action.json("hand_on", Note.class, Integer.class);
  private static final Action<Note, Integer> LENGTH = Action.json("length", Note.class, Integer.class);
  private static final Action<Note, Void> FAIL = Action.json("fail", Note.class, Void.class);
  private static final Action<Void, Void> LEAVE = Action.json("leave", Void.class, Void.class);
  private static final Action<Void, Void> TICK = Action.json("tick", Void.class, Void.class);
  private static final Action<Void, Void> TOCK = Action.json("tock", Void.class, Void.class);
  private static final Action<Note, Void> HEAR = Action.json("hear", Note.class, Void.class);
  private static final Channel<Note> NEWS = Channel.json("news", Note.class);
  private static final ActorId AUDIT = ActorId.of("Audit", "a");

  private static Reply<Void> line(Context<Log> context, String line) {
    List<String> lines = new ArrayList<>(context.state().lines());
    lines.add(line);
    context.setState(new Log(lines));
    return context.reply((Void) null);
  }

  private static void tellAll(Context<Log> context, Note note) {
    context.tell(AUDIT.action(NOTE).with(note));
    context.tell(context.self().action(NOTE).with(new Note("later")), Duration.ofSeconds(3));
    context.tell(context.self().action(NOTE).with(new Note("at")), context.now().plusSeconds(2));
    context.broadcast(NEWS, note);
  }

  private static final JsonActor<Log> LOG =
      JsonActor.define("Log", Log.class)
          .initial(() -> new Log(List.of()))
          .action(NOTE, (context, note) -> line(context, note.text()))
          .action(
              HEAR,
              (context, note) -> line(context, context.metadata().get("callboard-channel") + " " + note.text()))
          .action(TICK, (context, none) -> line(context, context.metadata().get("callboard-timer")))
          .action(TOCK, (context, none) -> line(context, "tock"))
          .action(PASS, (context, note) -> context.pipe(AUDIT.action(LENGTH).with(new Note(note.text() + "!"))))
          .action(HAND_ON, (context, note) -> context.forward(AUDIT.action(LENGTH)))
          .action(
              LEAVE,
              (context, none) -> {
                context.checkpoint();
                context.deactivate();
                return context.reply((Void) null);
              })
          .action(
              FAIL,
              (context, note) -> {
                tellAll(context, note);
                throw new ActorError(ErrorCode.ABORTED, "NO", "no");
              })
          .action(
              Action.json("all", Note.class, Void.class),
              (context, note) -> {
                tellAll(context, note);
                return context.reply((Void) null);
              })
          .timer(TICK, Duration.ofSeconds(20))
          .timer(TOCK, Duration.ofSeconds(30))
          .channel(NEWS, HEAR)
          .build();

  private static final Action<Note, Void> ALL = Action.json("all", Note.class, Void.class);

  private final TestKit<Log> kit = TestKit.of(LOG, "k");

  @Test
  void whatACommittedTurnSetsGoingIsRecordedAndDeliveredInTime() {
    List<String> audited = new ArrayList<>();
    kit.stub(
        "Audit",
        NOTE,
        (key, note) -> {
          audited.add(key + " " + note.text());
          return null;
        });
    Instant now = kit.clock().instant();
    kit.call(ALL, new Note("x"));
    assertEquals(
        List.of("Audit/a note", "Log/k note", "Log/k note"),
        kit.effects().stream().map(Effect::toString).toList());
    assertEquals(
        List.of(now, now.plusSeconds(3), now.plusSeconds(2)), kit.effects().stream().map(Effect::due).toList());
    assertEquals(new Note("x"), kit.broadcasts().get(0).message(NEWS));
    assertEquals(List.of(), audited, "nothing is delivered unasked");
    kit.deliver();
    assertEquals(List.of("a x"), audited);
    assertEquals(List.of("news x"), kit.state().lines());
    kit.clock().advance(Duration.ofSeconds(5));
    assertEquals(List.of("news x", "at", "later"), kit.state().lines());
  }

  @Test
  void aFailedTurnSetsNothingGoing() {
    assertThrows(ActorError.class, () -> kit.call(FAIL, new Note("x")));
    assertEquals(List.of(), kit.effects());
    assertEquals(List.of(), kit.broadcasts());
  }

  @Test
  void timersRunInOrderWhileTheActorIsInMemory() {
    kit.call(NOTE, new Note("alive"));
    kit.clock().advance(Duration.ofSeconds(59));
    assertEquals(List.of("alive", "tick", "tock", "tick"), kit.state().lines());
    kit.clock().advance(Duration.ofMinutes(5));
    assertFalse(kit.isActive(), "timers keep no actor with keys in memory");
    List<String> left = kit.state().lines();
    kit.clock().advance(Duration.ofMinutes(5));
    assertEquals(left, kit.state().lines());
  }

  @Test
  void aPipeAndAForwardNameTheNextActorAndAnswerWithItsReply() {
    kit.stub("Audit", LENGTH, (key, note) -> note.text().length());
    assertEquals(4, kit.call(PASS, new Note("abc")));
    NextCall next = kit.next().orElseThrow();
    assertEquals(new Note("abc!"), next.argument(LENGTH));
    assertFalse(next.forwards());
    assertEquals(3, kit.call(HAND_ON, new Note("abc")));
    assertTrue(kit.next().orElseThrow().forwards());
    kit.call(NOTE, new Note("x"));
    assertTrue(kit.next().isEmpty());
  }

  @Test
  void checkpointAndDeactivationAreAskedFor() {
    kit.call(LEAVE, null);
    assertEquals(1, kit.checkpoints());
    assertFalse(kit.isActive());
  }

  @Test
  void messagesOfOthersAreHeardByActorsInMemory() {
    kit.publish(NEWS, new Note("nobody is there"));
    kit.call(NOTE, new Note("alive"));
    kit.publish(NEWS, new Note("hello"));
    assertEquals(List.of("alive", "news hello"), kit.state().lines());
  }

  @Test
  void theActorOfANamedTypeHearsBeforeItWasEverCalled() {
    JsonActor<Log> journal =
        JsonActor.define("Journal", Log.class)
            .kind(Kind.NAMED)
            .initial(() -> new Log(List.of()))
            .channel(NEWS, HEAR)
            .action(HEAR, (context, note) -> line(context, note.text()))
            .build();
    TestKit<Log> own = TestKit.of(journal, "Journal");
    own.publish(NEWS, new Note("first"));
    assertEquals(List.of("first"), own.state().lines());
    TestKit<Log> added = kit.add(journal, "Journal");
    kit.publish(NEWS, new Note("second"));
    assertEquals(List.of("second"), added.state().lines());
  }

  @Test
  void settingsThatNameAnUnknownActionAreRefused() {
    JsonActor.Builder<Log> timer = JsonActor.define("T", Log.class).timer(TICK, Duration.ofSeconds(1));
    assertTrue(assertThrows(IllegalStateException.class, timer::build).getMessage().contains("\"tick\""));
    JsonActor.Builder<Log> channel = JsonActor.define("T", Log.class).channel(NEWS);
    assertTrue(assertThrows(IllegalStateException.class, channel::build).getMessage().contains("\"receive\""));
    assertThrows(IllegalArgumentException.class, () -> ActorSettings.NONE.withTimer(TICK, Duration.ofMillis(9)));
    assertThrows(IllegalArgumentException.class, () -> ActorSettings.NONE.withPool(5, 4));
  }

  @Test
  void oneTurnSetsNoMoreGoingThanANodeTakes() {
    Action<Integer, Void> many = Action.json("many", Integer.class, Void.class);
    TestKit<Log> teller =
        TestKit.of(
            JsonActor.define("Many", Log.class)
                .action(
                    many,
                    (context, count) -> {
                      for (int i = 0; i < count; i++) {
                        context.tell(AUDIT.action(NOTE).with(new Note("x")));
                      }
                      return context.reply((Void) null);
                    })
                .build(),
            "k");
    teller.call(many, 1_024);
    CallException refused = assertThrows(CallException.class, () -> teller.call(many, 1_025));
    assertEquals("INVALID_ARGUMENT", refused.reason());
    assertEquals(1_024, teller.effects().size());
  }
}
