package io.callboard.sdk.testkit;

import io.callboard.host.v1.Broadcast;
import io.callboard.host.v1.Turn;
import io.callboard.host.v1.Workflow;
import io.callboard.sdk.ActorId;
import io.callboard.sdk.CallException;
import io.callboard.sdk.ErrorCode;
import io.callboard.sdk.Kind;
import io.callboard.sdk.RetryAdvice;
import io.callboard.sdk.internal.CallPort;
import io.callboard.sdk.internal.RequestIds;
import io.callboard.sdk.internal.TurnEngine;
import io.callboard.sdk.internal.Wire;
import io.callboard.type.v1.Payload;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.PriorityQueue;
import java.util.concurrent.CompletableFuture;
import java.util.function.Function;

/** What the actors of one test share: the time, the actors, and what they have set going. */
final class World {
  /** How often a delivery is tried. */
  private static final int ATTEMPTS_MAX = 10;
  /** More deliveries than this at one instant are actors that tell each other for ever. */
  private static final int DELIVERIES_MAX = 100_000;

  /** When an actor leaves the memory that does not say. */
  static final Duration IDLE_TIMEOUT_DEFAULT = Duration.ofSeconds(60);

  private record Pending(Effect effect, long number) {}

  final Clock clock = new Clock(this);
  final Stubs stubs = new Stubs();
  final List<Effect> calls = new ArrayList<>();
  final List<Effect> effects = new ArrayList<>();
  final List<Said> broadcasts = new ArrayList<>();
  final List<Undelivered> undelivered = new ArrayList<>();
  Function<Effect, Fault> faults = effect -> Fault.NONE;

  private final Map<String, TurnEngine<?, ?>> types = new HashMap<>();
  private final Map<ActorId, Life<?>> lives = new LinkedHashMap<>();
  private final PriorityQueue<Pending> pending =
      new PriorityQueue<>(
          Comparator.comparing((Pending one) -> one.effect().due()).thenComparingLong(Pending::number));
  private long lastNumber;
  private boolean delivering;

  // === actors ===

  void add(TurnEngine<?, ?> engine) {
    types.put(engine.definition().name(), engine);
  }

  void put(Life<?> life) {
    lives.put(life.self(), life);
  }

  /** The actor with this id; null if its type is neither under test nor added. */
  Life<?> life(ActorId id) {
    String system = id.system().isEmpty() ? Wire.DEFAULT_SYSTEM : id.system();
    ActorId full = new ActorId(system, id.type(), id.key());
    Life<?> found = lives.get(full);
    TurnEngine<?, ?> engine = types.get(id.type());
    if (found != null || engine == null) {
      return found;
    }
    boolean named = engine.definition().kind() == Kind.NAMED && id.key().isEmpty();
    return named ? life(new ActorId(system, id.type(), id.type())) : new Life<>(this, engine, full);
  }

  private boolean answers(Effect effect) {
    return stubs.has(effect) || life(effect.target()) != null;
  }

  // === calls ===

  /** A call that a turn makes and waits for. */
  CompletableFuture<Payload> called(ActorId source, Turn turn, CallPort.TurnCallOut call) {
    String own = call.requestId().isEmpty() ? turn.getRequestId() + "/" + call.index() : call.requestId();
    Effect effect =
        new Effect(
            call.target(), call.action(), call.argument(), own, clock.instant(), call.metadata(), source);
    calls.add(effect);
    try {
      return CompletableFuture.completedFuture(answer(effect));
    } catch (Exception | AssertionError e) {
      return CompletableFuture.failedFuture(e);
    }
  }

  private Payload answer(Effect effect) throws Exception {
    Fault fault = faults.apply(effect);
    Life<?> life = stubs.has(effect) ? null : life(effect.target());
    if (life != null) {
      return life.answer(effect, fault);
    }
    Payload reply = stubs.answer(effect);
    if (fault == Fault.AFTER_COMMIT) {
      throw outcomeUnknown(effect.requestId());
    }
    return reply;
  }

  static CallException outcomeUnknown(String requestId) {
    return new CallException(
        ErrorCode.UNAVAILABLE,
        "OUTCOME_UNKNOWN",
        "the call may have run; call again with request id " + requestId,
        RetryAdvice.SAME_ID);
  }

  /** What the actor at the end of a chain answers; nothing if the test has no such actor. */
  Payload chained(ActorId source, String requestId, Map<String, String> metadata, NextCall next) {
    Effect effect =
        new Effect(
            next.target(), next.action(), next.argument(), requestId + "/next", clock.instant(), metadata, source);
    if (!answers(effect)) {
      return Payload.getDefaultInstance();
    }
    try {
      return answer(effect);
    } catch (RuntimeException e) {
      throw e;
    } catch (Exception e) {
      throw new AssertionError(effect + " failed", e);
    }
  }

  // === what turns set going ===

  void committed(ActorId source, Workflow workflow) {
    Instant now = clock.instant();
    for (io.callboard.host.v1.Effect told : workflow.getEffectsList()) {
      Instant due = told.getDueAtMs() == 0 ? now : Instant.ofEpochMilli(told.getDueAtMs());
      later(
          new Effect(
              Wire.actorId(told.getTarget()),
              told.getAction(),
              told.getPayload(),
              RequestIds.next(now.toEpochMilli()),
              due.plusMillis(told.getDelayMs()),
              told.getMetadataMap(),
              source),
          true);
    }
    for (Broadcast said : workflow.getBroadcastsList()) {
      broadcasts.add(new Said(said.getChannel(), said.getPayload(), said.getMetadataMap(), source));
      say(source, said.getChannel(), said.getPayload(), said.getMetadataMap());
    }
  }

  private void later(Effect effect, boolean told) {
    if (told) {
      effects.add(effect);
    }
    if (answers(effect)) {
      pending.add(new Pending(effect, ++lastNumber));
    }
  }

  /** Something is said on a channel, by an actor or by the test, which is no actor. */
  void say(ActorId source, String channel, Payload message, Map<String, String> metadata) {
    Map<String, String> all = new HashMap<>(metadata);
    all.put("callboard-channel", channel);
    for (Life<?> life : List.copyOf(lives.values())) {
      for (String action : life.hearing(channel)) {
        String id = RequestIds.next(clock.millis());
        later(new Effect(life.self(), action, message, id, clock.instant(), all, source), false);
      }
    }
  }

  // === time ===

  /** Delivers what is due. */
  void deliver() {
    if (delivering) {
      return;
    }
    delivering = true;
    try {
      for (int i = 0; i < DELIVERIES_MAX; i++) {
        if (pending.isEmpty() || pending.peek().effect().due().isAfter(clock.instant())) {
          return;
        }
        deliver(pending.poll().effect());
      }
    } finally {
      delivering = false;
    }
    throw new AssertionError("more than " + DELIVERIES_MAX + " deliveries: do actors tell each other for ever?");
  }

  /** Tries until there is an outcome, as a node does; an error of the target's own is one. */
  void deliver(Effect effect) {
    CallException last = null;
    for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      try {
        answer(effect);
        return;
      } catch (CallException e) {
        last = e;
        if (e.fromActor() || e.retry() == RetryAdvice.NEVER) {
          break;
        }
      } catch (Exception e) {
        throw new AssertionError("the stub of " + effect + " failed", e);
      }
    }
    undelivered.add(new Undelivered(effect, last));
  }

  void advance(Instant to) {
    deliver();
    for (Instant step = step(to); step != null; step = step(to)) {
      clock.set(step);
      deliver();
      for (Life<?> life : List.copyOf(lives.values())) {
        life.fireTimers();
      }
      deliver();
      lives.values().forEach(Life::deactivateIfIdle);
    }
    clock.set(to);
  }

  /** When the next thing happens; null if that is later. */
  private Instant step(Instant to) {
    Instant next = pending.isEmpty() ? null : pending.peek().effect().due();
    for (Life<?> life : lives.values()) {
      Instant own = life.nextEvent();
      next = own != null && (next == null || own.isBefore(next)) ? own : next;
    }
    if (next == null || next.isAfter(to)) {
      return null;
    }
    return next.isBefore(clock.instant()) ? clock.instant() : next;
  }
}
