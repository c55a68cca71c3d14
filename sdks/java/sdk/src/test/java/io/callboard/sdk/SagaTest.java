package io.callboard.sdk;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.callboard.sdk.testkit.Effect;
import io.callboard.sdk.testkit.Fault;
import io.callboard.sdk.testkit.TestCall;
import io.callboard.sdk.testkit.TestKit;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Function;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Sagas: every step done or taken back, whatever fails and whenever it crashes. */
class SagaTest {
  private static final List<String> STEPS = List.of("one", "two", "three");
  private static final int REFUSE = -1;

  /** A counter, and the calls that reached it. */
  record Count(long total, List<String> changes) {}

  /** What the saga works on: what goes wrong, by STEP or STEP/undo; a number of bugs, or REFUSE. */
  record Work(long amount, Map<String, Integer> wrong, List<String> seen) {}

  /** The coordinator's state. */
  record Order(SagaProgress saga, int spoiled) {}

  private static final Action<Long, Long> CHANGE = Action.json("change", Long.class, Long.class);
  private static final Action<Work, String> START = Action.json("start", Work.class, String.class);
  private static final Action<Void, Void> RESUME = Action.json("resume", Void.class, Void.class);

  private static final JsonActor<Count> COUNTER =
      JsonActor.define("Counter", Count.class)
          .initial(() -> new Count(0, new ArrayList<>()))
          .action(
              CHANGE,
              (context, by) -> {
                if (by % 2 != 0) {
                  throw new ActorError(ErrorCode.FAILED_PRECONDITION, "ODD", "only even numbers");
                }
                List<String> changes = new ArrayList<>(context.state().changes());
                changes.add(context.requestId().substring(context.requestId().indexOf('/') + 1));
                context.setState(new Count(context.state().total() + by, changes));
                return context.reply(context.state().total());
              })
          .build();

  /** How often each part failed on purpose; outside of all state, as a bug would be. */
  private final Map<String, Integer> failures = new HashMap<>();

  private final Saga<Order, Work> saga =
      Saga.<Order, Work>builder(Work.class)
          .step("one", part("one", 1), part("one/undo", -1))
          .step("two", part("two", 1), part("two/undo", -1))
          .step("three", part("three", 1), part("three/undo", -1))
          .progress(Order::saga, (order, progress) -> new Order(progress, order.spoiled()))
          .attempts(3)
          .build();

  private final JsonActor<Order> coordinator =
      JsonActor.define("Coordinator", Order.class)
          .initial(() -> new Order(null, 0))
          .action(START, (context, work) -> context.reply(saga.start(context, work)))
          .action(Saga.ACTION, saga::turn)
          .action(
              RESUME,
              (context, none) -> {
                saga.resume(context);
                return Reply.of(null);
              })
          .build();

  private TestKit<Order> kit = fresh();

  private TestKit<Order> fresh() {
    failures.clear();
    kit = TestKit.of(coordinator, "o");
    kit.add(COUNTER, "one");
    return kit;
  }

  private Saga.Do<Order, Work> part(String name, int sign) {
    return (context, work) -> {
      context.update(order -> new Order(order.saga(), order.spoiled() + 1));
      work.seen().add(name);
      context.setTag(name, "yes");
      context.tell(ActorId.of("Counter", "log").action(CHANGE).with(2L));
      int wrong = work.wrong().getOrDefault(name, 0);
      ActorId target = ActorId.of("Counter", name.replace("/undo", ""));
      context.call(target, CHANGE, wrong == REFUSE ? 1 : sign * work.amount());
      if (failures.getOrDefault(name, 0) < wrong) {
        failures.merge(name, 1, Integer::sum);
        throw new IllegalStateException("a bug in " + name);
      }
      return work;
    };
  }

  private void play(Map<String, Integer> wrong) {
    Work work = new Work(2, wrong, new ArrayList<>());
    kit.call(START, work, TestCall.plain().withRequestId("start"));
    kit.clock().advance(Duration.ofMinutes(5));
    if (progress().status() == SagaStatus.FAILED) {
      kit.call(RESUME, null);
      kit.clock().advance(Duration.ofMinutes(5));
    }
  }

  private SagaProgress progress() {
    return kit.state().saga();
  }

  private List<Long> totals() {
    return STEPS.stream().map(name -> kit.add(COUNTER, name).state().total()).toList();
  }

  private List<List<String>> changes() {
    return STEPS.stream().map(name -> kit.add(COUNTER, name).state().changes()).toList();
  }

  /** What goes wrong, and how it ends: the status, and of how many steps the changes are taken back. */
  record Story(String name, Map<String, Integer> wrong, SagaStatus status, int undone) {
    @Override
    public String toString() {
      return name;
    }
  }

  static Stream<Story> stories() {
    return Stream.of(
        new Story("all goes well", Map.of(), SagaStatus.DONE, 0),
        new Story("a refusal at the first step", Map.of("one", REFUSE), SagaStatus.COMPENSATED, 0),
        new Story("a refusal at the second step", Map.of("two", REFUSE), SagaStatus.COMPENSATED, 1),
        new Story("a refusal at the third step", Map.of("three", REFUSE), SagaStatus.COMPENSATED, 2),
        new Story("a bug at the first step", Map.of("one", 1), SagaStatus.DONE, 0),
        new Story("two bugs at the second step", Map.of("two", 2), SagaStatus.DONE, 0),
        new Story("a bug at the third step", Map.of("three", 1), SagaStatus.DONE, 0),
        new Story("a second step that is given up", Map.of("two", 9), SagaStatus.COMPENSATED, 2),
        new Story(
            "a compensation that fails twice",
            Map.of("three", REFUSE, "two/undo", 2),
            SagaStatus.COMPENSATED,
            2),
        new Story(
            "a compensation that fails until it is resumed",
            Map.of("three", REFUSE, "one/undo", 3),
            SagaStatus.COMPENSATED,
            2));
  }

  @ParameterizedTest
  @MethodSource("stories")
  void aSagaEndsAsItsStorySays(Story story) {
    play(story.wrong());
    assertEquals(story.status(), saga.status(kit.state()).orElseThrow());
    boolean done = story.status() == SagaStatus.DONE;
    assertEquals(done ? List.of(2L, 2L, 2L) : List.of(0L, 0L, 0L), totals());
    List<List<String>> expected = new ArrayList<>();
    for (int i = 0; i < STEPS.size(); i++) {
      String name = STEPS.get(i);
      if (done) {
        expected.add(List.of(name + "/0"));
      } else {
        expected.add(i < story.undone() ? List.of(name + "/0", name + "/undo/0") : List.of());
      }
    }
    assertEquals(expected, changes());
    assertEquals(List.of(), kit.undelivered());
  }

  @ParameterizedTest
  @MethodSource("stories")
  void aCrashAtAnyTurnChangesNoTargetTwice(Story story) {
    play(story.wrong());
    List<List<String>> undisturbed = changes();
    int turns = progress().turn();
    for (Fault fault : List.of(Fault.BEFORE_COMMIT, Fault.AFTER_COMMIT)) {
      for (int crash = 1; crash <= turns; crash++) {
        fresh().inject(atTurn(crash, fault));
        play(story.wrong());
        String at = fault + " of turn " + crash;
        assertEquals(story.status(), progress().status(), at);
        assertEquals(undisturbed, changes(), at);
      }
    }
  }

  private static Function<Effect, Fault> atTurn(int number, Fault fault) {
    AtomicBoolean left = new AtomicBoolean(true);
    return effect -> {
      boolean wanted =
          effect.action().equals("saga") && effect.argument(Saga.ACTION).turn() == number && left.getAndSet(false);
      return wanted ? fault : Fault.NONE;
    };
  }

  @ParameterizedTest
  @ValueSource(strings = {"one", "two", "three"})
  void anUnknownOutcomeIsFoundAppliedByTheRetry(String step) {
    AtomicBoolean left = new AtomicBoolean(true);
    kit.inject(
        effect ->
            effect.target().key().equals(step) && left.getAndSet(false) ? Fault.AFTER_COMMIT : Fault.NONE);
    play(Map.of());
    assertEquals(SagaStatus.DONE, progress().status());
    assertEquals(List.of(2L, 2L, 2L), totals());
    assertEquals(4, progress().turn(), "three steps, one of them twice");
  }

  @Test
  void whatAFailedTryDidToStateTagsAndDataIsUndone() {
    play(Map.of("two", 2));
    assertEquals(3, kit.state().spoiled());
    assertEquals(3, progress().data().get("seen").size());
    assertNull(progress().error());
    fresh();
    play(Map.of("two", REFUSE));
    assertEquals(Set.of("one", "one/undo"), kit.tags().keySet());
    // What a step told is told once; what a failed one told, never.
    assertEquals(2, kit.effects().stream().filter(effect -> effect.target().key().equals("log")).count());
    assertEquals("two", progress().error().step());
    assertEquals("ODD", progress().error().reason());
  }

  @Test
  void aCompensationThatFailsForEverWaitsForResume() {
    Work work = new Work(2, Map.of("three", REFUSE, "one/undo", 3), new ArrayList<>());
    kit.call(START, work);
    kit.clock().advance(Duration.ofMinutes(5));
    assertEquals(SagaStatus.FAILED, progress().status());
    assertEquals("one", progress().step());
    assertEquals("one", progress().error().step());
    assertEquals("ACTION_ERROR", progress().error().reason());
    kit.call(RESUME, null);
    kit.clock().advance(Duration.ofMinutes(1));
    assertEquals(SagaStatus.COMPENSATED, progress().status());
    assertEquals(List.of(0L, 0L, 0L), totals());
    assertEquals("SAGA_NOT_FAILED", assertThrows(ActorError.class, () -> kit.call(RESUME, null)).reason());
  }

  @Test
  void aRefusedCompensationIsTriedUnderANewId() {
    List<String> ids = new ArrayList<>();
    kit.stub(
        "Counter",
        CHANGE,
        (key, by) -> {
          if (key.equals("two") || by < 0 && ids.size() < 2) {
            ids.add(key);
            throw new ActorError(ErrorCode.FAILED_PRECONDITION, "ODD", "made up");
          }
          return 0L;
        });
    play(Map.of());
    assertEquals(SagaStatus.COMPENSATED, progress().status());
    List<String> sent =
        kit.calls().stream()
            .filter(call -> !call.target().key().equals("log"))
            .map(call -> call.requestId().substring(call.requestId().indexOf('/') + 1))
            .toList();
    assertEquals(List.of("one/0", "two/0", "one/undo/0", "one/undo1/0"), sent);
  }

  @Test
  void aLateOrRepeatedTurnDoesNothing() {
    play(Map.of());
    Order before = kit.state();
    List<List<String>> changed = changes();
    String id = progress().id();
    for (SagaTurn late :
        List.of(new SagaTurn(id, 1, 0), new SagaTurn(id, 9, 0), new SagaTurn("other", 3, 0), new SagaTurn(id, 0, 3))) {
      kit.call(Saga.ACTION, late);
    }
    kit.deliver();
    assertEquals(before, kit.state());
    assertEquals(changed, changes());
  }

  @Test
  void aTurnThatVanishedIsNoticedByTheWatch() {
    kit.inject(atTurn(2, Fault.CRASHED_HOST));
    kit.call(START, new Work(2, Map.of(), new ArrayList<>()));
    // The first watch knows of the first turn only, and looks again a minute later.
    kit.clock().advance(Duration.ofSeconds(119));
    assertEquals(SagaStatus.RUNNING, progress().status());
    assertEquals(2, progress().turn());
    kit.clock().advance(Duration.ofSeconds(1));
    assertEquals(SagaStatus.DONE, progress().status());
    assertEquals(List.of(2L, 2L, 2L), totals());
  }

  @Test
  void aSecondStartIsRefusedUntilTheFirstIsOver() {
    Work work = new Work(2, Map.of(), new ArrayList<>());
    String first = kit.call(START, work);
    ActorError refused = assertThrows(ActorError.class, () -> kit.call(START, work));
    assertEquals("SAGA_RUNNING", refused.reason());
    assertEquals(ErrorCode.FAILED_PRECONDITION, refused.code());
    kit.clock().advance(Duration.ofMinutes(1));
    assertNotEquals(first, kit.call(START, work));
  }

  @Test
  void theProgressTravelsAsTextInTheWordsOfEveryLanguage() {
    kit.call(START, new Work(2, Map.of(), new ArrayList<>()));
    String text = progress().toJson();
    assertTrue(text.contains("\"status\":\"running\",\"step\":\"one\",\"turn\":1,\"attempt\":0"), text);
    assertEquals(progress(), SagaProgress.fromJson(text));
    assertNull(SagaProgress.fromJson(""));
    String turn = Codecs.json(SagaTurn.class).encode(new SagaTurn("s", 3, 0)).getData().toStringUtf8();
    assertEquals("{\"saga\":\"s\",\"turn\":3}", turn);
  }
}
