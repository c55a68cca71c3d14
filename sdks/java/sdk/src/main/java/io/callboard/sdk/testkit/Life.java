package io.callboard.sdk.testkit;

import io.callboard.host.v1.Turn;
import io.callboard.host.v1.Workflow;
import io.callboard.sdk.ActorId;
import io.callboard.sdk.ActorSettings;
import io.callboard.sdk.CallException;
import io.callboard.sdk.Deliver;
import io.callboard.sdk.ErrorCode;
import io.callboard.sdk.Kind;
import io.callboard.sdk.RetryAdvice;
import io.callboard.sdk.internal.RequestIds;
import io.callboard.sdk.internal.StateCell;
import io.callboard.sdk.internal.TurnEngine;
import io.callboard.sdk.internal.TurnInput;
import io.callboard.sdk.internal.TurnOutcome;
import io.callboard.sdk.internal.TurnToken;
import io.callboard.sdk.internal.Wire;
import io.callboard.type.v1.Payload;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** One actor of a test: its committed state, its lives, and the turns that it runs. */
final class Life<S> {
  private static final List<String> INIT_NAMES = List.of("init", "Init", "setup", "Setup");
  private static final Duration TURN_TIMEOUT_DEFAULT = Duration.ofSeconds(30);

  private record Stored(String action, Payload argument, TurnOutcome outcome, NextCall next) {}

  private final World world;
  private final TurnEngine<?, S> engine;
  private final ActorId self;
  private final Clock clock;
  private final Map<String, Instant> timers = new LinkedHashMap<>();
  private final Map<String, Stored> outcomes = new HashMap<>();
  private StateCell<S> cell;
  private Map<String, String> tags = Map.of();
  private boolean active;
  private Instant lastCall;
  private int activations;
  private long revision;
  private long lastTurnId;
  private int checkpoints;
  private NextCall next;
  private boolean running;

  Life(World world, TurnEngine<?, S> engine, ActorId self) {
    this.world = world;
    this.engine = engine;
    this.self = self;
    this.clock = world.clock;
    this.cell = engine.cell(Payload.getDefaultInstance());
    this.lastCall = clock.instant();
    world.put(this);
  }

  /** Answers a call of another actor, or of this one. */
  Payload answer(Effect effect, Fault fault) {
    boolean outside = effect.source() == null;
    TestCall how = TestCall.plain().withMetadata(effect.metadata()).withFault(fault);
    return answer(
        effect.action(), effect.argument(), effect.requestId(), outside ? how : how.withCaller(effect.source()), true);
  }

  Payload answer(String action, Payload payload, String requestId, TestCall how, boolean counts) {
    if (running) {
      throw new CallException(
          ErrorCode.FAILED_PRECONDITION, "CALL_CYCLE", self + " waits for itself", RetryAdvice.NEVER);
    }
    if (counts) {
      lastCall = clock.instant();
    }
    activate();
    Stored stored = outcomes.get(requestId);
    if (stored == null) {
      stored = new Stored(action, payload, committed(action, payload, requestId, how), next);
      if (!(stored.outcome() instanceof TurnOutcome.Cancelled)) {
        outcomes.put(requestId, stored);
      }
    } else if (!stored.action().equals(action) || !stored.argument().equals(payload)) {
      throw new CallException(
          ErrorCode.FAILED_PRECONDITION,
          "REQUEST_ID_REUSED",
          "request id " + requestId + " was used for another call; use one id per logical call",
          RetryAdvice.NEVER);
    }
    if (how.fault() == Fault.AFTER_COMMIT) {
      throw World.outcomeUnknown(requestId);
    }
    Payload reply = reply(stored.outcome());
    return stored.next() == null ? reply : world.chained(self, requestId, how.metadata(), stored.next());
  }

  private TurnOutcome committed(String action, Payload payload, String requestId, TestCall how) {
    next = null;
    if (how.fault() == Fault.CRASHED_HOST) {
      return crashedHost(action);
    }
    int attempt = how.attempt();
    if (how.fault() == Fault.BEFORE_COMMIT) {
      run(turn(action, payload, requestId, attempt, how), how.cancelled(), engine.cell(cell.bytes()));
      attempt++;
    }
    TurnOutcome outcome =
        run(turn(action, payload, requestId, attempt, how), how.cancelled(), cell);
    commit(outcome, payload);
    return outcome;
  }

  private TurnOutcome crashedHost(String action) {
    String message = "every host that ran " + self + " " + action + " was lost; the turn was given up";
    return new TurnOutcome.Failed(Wire.refusal(ErrorCode.ABORTED, "TURN_CRASHED_HOST", message), null);
  }

  private void commit(TurnOutcome outcome, Payload argument) {
    if (outcome instanceof TurnOutcome.Replied replied) {
      revision++;
      if (replied.tags() != null) {
        tags = Map.copyOf(replied.tags());
      }
      if (replied.workflow() != null) {
        setGoing(replied, replied.workflow(), argument);
      }
    }
    // Whatever the action left in memory is not trusted: the next turn starts from the bytes.
    cell = engine.cell(cell.bytes());
  }

  private void setGoing(TurnOutcome.Replied replied, Workflow workflow, Payload argument) {
    if (workflow.hasPipe()) {
      var pipe = workflow.getPipe();
      next = new NextCall(Wire.actorId(pipe.getTarget()), pipe.getAction(), replied.reply(), false);
    } else if (workflow.hasForward()) {
      var forward = workflow.getForward();
      next = new NextCall(Wire.actorId(forward.getTarget()), forward.getAction(), argument, true);
    }
    checkpoints += workflow.getCheckpoint() ? 1 : 0;
    if (workflow.getDeactivate()) {
      deactivate();
    }
    world.committed(self, workflow);
  }

  private Turn turn(String action, Payload payload, String requestId, int attempt, TestCall how) {
    var binding = engine.definition().binding(action);
    Turn.Builder turn =
        Turn.newBuilder()
            .setTurnId(++lastTurnId)
            .setAction(action)
            .setPayload(payload)
            .setRequestId(requestId)
            .setCreatedAtMs(clock.millis())
            .setAttempt(attempt)
            .putAllMetadata(how.metadata())
            .setRevision(revision + 1)
            .setReadOnly(binding != null && binding.readOnly());
    if (how.caller() != null) {
      turn.setCaller(Wire.actorId(how.caller(), Wire.DEFAULT_SYSTEM));
    }
    return turn.build();
  }

  private TurnOutcome run(Turn turn, boolean cancelled, StateCell<S> state) {
    TurnToken token = new TurnToken(Runnable::run);
    if (cancelled) {
      token.cancel();
    }
    Duration set = engine.definition().turnTimeout();
    Duration timeout = set.isZero() ? TURN_TIMEOUT_DEFAULT : set;
    TurnInput input =
        new TurnInput(
            self,
            turn,
            activations,
            tags,
            clock.instant().plus(timeout),
            clock,
            token,
            call -> world.called(self, turn, call),
            Runnable::run);
    CompletableFuture<TurnOutcome> outcome = new CompletableFuture<>();
    running = true;
    try {
      engine.run(input, state, outcome::complete);
      TurnOutcome ended = outcome.get(timeout.toMillis(), TimeUnit.MILLISECONDS);
      world.stubs.throwMissing();
      return ended;
    } catch (TimeoutException e) {
      throw new AssertionError(self + " " + turn.getAction() + " has not replied in " + timeout, e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new AssertionError("interrupted", e);
    } catch (ExecutionException e) {
      throw new AssertionError(e.getCause());
    } finally {
      running = false;
    }
  }

  private static Payload reply(TurnOutcome outcome) {
    if (outcome instanceof TurnOutcome.Replied replied) {
      return replied.reply();
    }
    if (outcome instanceof TurnOutcome.Failed failed) {
      CallException error = Wire.exception(failed.error());
      if (failed.cause() != null && !(failed.cause() instanceof CallException)) {
        error.initCause(failed.cause());
      }
      throw error;
    }
    throw new CallException(ErrorCode.CANCELLED, "CANCELLED", "the turn was cancelled", RetryAdvice.NEVER);
  }

  void activate() {
    if (active) {
      return;
    }
    activations++;
    for (String name : INIT_NAMES) {
      if (engine.definition().binding(name) != null) {
        String requestId = RequestIds.next(clock.millis());
        Turn turn = turn(name, Payload.getDefaultInstance(), requestId, 1, TestCall.plain());
        TurnOutcome outcome = run(turn, false, cell);
        commit(outcome, Payload.getDefaultInstance());
        initialised(outcome);
        break;
      }
    }
    active = true;
    for (ActorSettings.Timer timer : engine.settings().timers()) {
      timers.put(timer.action(), clock.instant().plus(timer.interval()));
    }
  }

  private void initialised(TurnOutcome outcome) {
    if (outcome instanceof TurnOutcome.Failed failed) {
      CallException error =
          new CallException(
              ErrorCode.UNAVAILABLE,
              "INIT_FAILED",
              self + " could not begin its life: " + failed.error().getMessage(),
              RetryAdvice.SAFE);
      error.initCause(failed.cause());
      throw error;
    }
  }

  void deactivate() {
    active = false;
    timers.clear();
  }

  void restart() {
    deactivate();
    cell = engine.cell(cell.bytes());
    activate();
  }

  /** When the actor becomes idle; null if it stays in memory. */
  private Instant idleAt() {
    boolean stays = engine.definition().kind() == Kind.NAMED && !engine.settings().timers().isEmpty();
    if (!active || stays) {
      return null;
    }
    Duration set = engine.definition().idleTimeout();
    return lastCall.plus(set.isZero() ? World.IDLE_TIMEOUT_DEFAULT : set);
  }

  /** When something happens to the actor by itself; null if nothing does. */
  Instant nextEvent() {
    Instant first = idleAt();
    for (Instant due : timers.values()) {
      first = first == null || due.isBefore(first) ? due : first;
    }
    return first;
  }

  void deactivateIfIdle() {
    Instant idle = idleAt();
    if (idle != null && !idle.isAfter(clock.instant())) {
      deactivate();
    }
  }

  /** Runs the timers that are due. They do not keep an actor in memory. */
  void fireTimers() {
    for (ActorSettings.Timer timer : engine.settings().timers()) {
      Instant due = timers.get(timer.action());
      if (due == null || due.isAfter(clock.instant())) {
        continue;
      }
      timers.put(timer.action(), clock.instant().plus(timer.interval()));
      TestCall how = TestCall.plain().withMetadata(Map.of("callboard-timer", timer.action()));
      Payload none = Payload.getDefaultInstance();
      String requestId = RequestIds.next(clock.millis());
      try {
        answer(timer.action(), none, requestId, how, false);
      } catch (CallException e) {
        Effect effect = new Effect(self, timer.action(), none, requestId, due, how.metadata(), self);
        world.undelivered.add(new Undelivered(effect, e));
      }
    }
  }

  /** The actions that get what is said on a channel now. */
  List<String> hearing(String channel) {
    List<String> actions = new ArrayList<>();
    for (ActorSettings.Subscribed subscribed : engine.settings().subscriptions()) {
      boolean named = engine.definition().kind() == Kind.NAMED;
      boolean every =
          subscribed.deliver() == Deliver.EVERY || subscribed.deliver() == Deliver.DEFAULT && named;
      if (subscribed.channel().equals(channel) && (every ? named || revision > 0 : active)) {
        actions.add(subscribed.action());
      }
    }
    return actions;
  }

  ActorId self() {
    return self;
  }

  // === looking ===

  TurnEngine<?, S> engine() {
    return engine;
  }

  /** The committed state. */
  Payload state() {
    return cell.bytes();
  }

  void state(Payload bytes) {
    cell = engine.cell(bytes);
  }

  Map<String, String> tags() {
    return tags;
  }

  int activations() {
    return activations;
  }

  boolean isActive() {
    return active;
  }

  NextCall next() {
    return next;
  }

  int checkpoints() {
    return checkpoints;
  }
}
