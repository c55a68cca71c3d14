package io.callboard.sdk.testkit;

import io.callboard.host.v1.Turn;
import io.callboard.sdk.Action;
import io.callboard.sdk.Actor;
import io.callboard.sdk.ActorDefinition;
import io.callboard.sdk.ActorId;
import io.callboard.sdk.CallException;
import io.callboard.sdk.CallOptions;
import io.callboard.sdk.Caller;
import io.callboard.sdk.ErrorCode;
import io.callboard.sdk.JsonActor;
import io.callboard.sdk.RetryAdvice;
import io.callboard.sdk.internal.CallPort;
import io.callboard.sdk.internal.Replies;
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
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Supplier;

/**
 * Runs one actor in a unit test, by the rules of a node: a turn that throws leaves nothing behind, a repeated request id
 * answers the stored outcome, state goes through its bytes, {@code init} begins each life.
 *
 * <p>The kit is a {@link Caller}, so generated clients call the actor through it:
 * {@code CounterClient.of(kit).ref("u1").add(...)}. One thread at a time.
 *
 * @param <S> the type of the actor's state
 */
public final class TestKit<S> implements Caller {
  private static final List<String> INIT_NAMES = List.of("init", "Init", "setup", "Setup");
  private static final Duration IDLE_TIMEOUT_DEFAULT = Duration.ofSeconds(60);
  private static final Duration TURN_TIMEOUT_DEFAULT = Duration.ofSeconds(30);

  private record Stored(String action, Payload argument, TurnOutcome outcome) {}

  private final TurnEngine<?, S> engine;
  private final ActorId self;
  private final Clock clock = new Clock(this);
  private final Stubs stubs = new Stubs();
  private final List<Effect> effects = new ArrayList<>();
  private final Map<String, Stored> outcomes = new HashMap<>();
  private StateCell<S> cell;
  private Map<String, String> tags = Map.of();
  private boolean active;
  private Instant lastCall;
  private int activations;
  private long revision;
  private long lastTurnId;

  private TestKit(Supplier<? extends Actor<S>> actors, String key) {
    this.engine = TurnEngine.of(actors);
    this.self = new ActorId(Wire.DEFAULT_SYSTEM, engine.definition().name(), key);
    this.cell = engine.cell(Payload.getDefaultInstance());
    this.lastCall = clock.instant();
  }

  /**
   * A kit for an actor that has never been called.
   *
   * @param actors makes the actor, for example {@code Counter::new}
   * @param key the actor's key
   * @param <S> the type of the state
   * @return the kit
   */
  public static <S> TestKit<S> of(Supplier<? extends Actor<S>> actors, String key) {
    return new TestKit<>(actors, key);
  }

  /**
   * A kit for an actor without protos.
   *
   * @param actor the actor type
   * @param key the actor's key
   * @param <S> the type of the state
   * @return the kit
   */
  public static <S> TestKit<S> of(JsonActor<S> actor, String key) {
    return new TestKit<>(() -> actor, key);
  }

  // === calling ===

  /**
   * Runs an action in a plain call.
   *
   * @param action the action
   * @param argument its argument
   * @param <I> the type of the argument
   * @param <O> the type of the reply
   * @return the reply
   * @throws CallException if the action fails
   */
  public <I, O> O call(Action<I, O> action, I argument) {
    return call(action, argument, TestCall.plain());
  }

  /**
   * Runs an action.
   *
   * @param action the action
   * @param argument its argument
   * @param how request id, attempt, caller, fault
   * @param <I> the type of the argument
   * @param <O> the type of the reply
   * @return the reply
   * @throws CallException if the action fails; an unexpected exception of the action is its cause
   */
  public <I, O> O call(Action<I, O> action, I argument, TestCall how) {
    lastCall = clock.instant();
    activate();
    String requestId = how.requestId() == null ? RequestIds.next(clock.millis()) : how.requestId();
    Payload payload = action.input().encode(argument);
    Stored stored = outcomes.get(requestId);
    if (stored == null) {
      stored = new Stored(action.name(), payload, committed(action.name(), payload, requestId, how));
      if (!(stored.outcome() instanceof TurnOutcome.Cancelled)) {
        outcomes.put(requestId, stored);
      }
    } else if (!stored.action().equals(action.name()) || !stored.argument().equals(payload)) {
      throw new CallException(
          ErrorCode.FAILED_PRECONDITION,
          "REQUEST_ID_REUSED",
          "request id " + requestId + " was used for another call; use one id per logical call",
          RetryAdvice.NEVER);
    }
    if (how.fault() == Fault.AFTER_COMMIT) {
      throw new CallException(
          ErrorCode.UNAVAILABLE,
          "OUTCOME_UNKNOWN",
          "the call may have run; call again with request id " + requestId,
          RetryAdvice.SAME_ID);
    }
    return Replies.decode(self, action, reply(stored.outcome()));
  }

  private TurnOutcome committed(String action, Payload payload, String requestId, TestCall how) {
    int attempt = how.attempt();
    if (how.fault() == Fault.BEFORE_COMMIT) {
      run(turn(action, payload, requestId, attempt, how), how.cancelled(), engine.cell(cell.bytes()));
      attempt++;
    }
    TurnOutcome outcome =
        run(turn(action, payload, requestId, attempt, how), how.cancelled(), cell);
    commit(outcome);
    return outcome;
  }

  private void commit(TurnOutcome outcome) {
    if (outcome instanceof TurnOutcome.Replied replied) {
      revision++;
      if (replied.tags() != null) {
        tags = Map.copyOf(replied.tags());
      }
    }
    // Whatever the action left in memory is not trusted: the next turn starts from the bytes.
    cell = engine.cell(cell.bytes());
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
            this::stubbed,
            Runnable::run);
    CompletableFuture<TurnOutcome> outcome = new CompletableFuture<>();
    engine.run(input, state, outcome::complete);
    try {
      TurnOutcome ended = outcome.get(timeout.toMillis(), TimeUnit.MILLISECONDS);
      stubs.throwMissing();
      return ended;
    } catch (TimeoutException e) {
      throw new AssertionError(self + " " + turn.getAction() + " has not replied in " + timeout, e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new AssertionError("interrupted", e);
    } catch (ExecutionException e) {
      throw new AssertionError(e.getCause());
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

  private CompletableFuture<Payload> stubbed(CallPort.TurnCallOut call) {
    effects.add(new Effect(call.target(), call.action(), call.argument()));
    return stubs.answer(call);
  }

  @Override
  public <I, O> O call(ActorId target, Action<I, O> action, I argument, CallOptions options) {
    if (!target.type().equals(self.type()) || !target.key().equals(self.key())) {
      throw new IllegalArgumentException("this kit runs " + self + ", not " + target);
    }
    TestCall how = TestCall.plain().withMetadata(options.metadata());
    return call(action, argument, options.idempotencyKey().map(how::withRequestId).orElse(how));
  }

  @Override
  public <I, O> CompletableFuture<O> callAsync(
      ActorId target, Action<I, O> action, I argument, CallOptions options) {
    try {
      return CompletableFuture.completedFuture(call(target, action, argument, options));
    } catch (CallException e) {
      return CompletableFuture.failedFuture(e);
    }
  }

  // === life ===

  private void activate() {
    if (active) {
      return;
    }
    activations++;
    for (String name : INIT_NAMES) {
      if (engine.definition().binding(name) != null) {
        String requestId = RequestIds.next(clock.millis());
        Turn turn = turn(name, Payload.getDefaultInstance(), requestId, 1, TestCall.plain());
        TurnOutcome outcome = run(turn, false, cell);
        commit(outcome);
        initialised(outcome);
        break;
      }
    }
    active = true;
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

  /** Ends the life of the actor as an idle timeout does: the next call begins a new one from the committed bytes. */
  public void deactivate() {
    active = false;
  }

  /** Ends the life of the actor as a crash does, and begins a new one from the committed bytes. */
  public void restart() {
    deactivate();
    cell = engine.cell(cell.bytes());
    activate();
  }

  void timePassed() {
    Duration set = engine.definition().idleTimeout();
    Duration idle = set.isZero() ? IDLE_TIMEOUT_DEFAULT : set;
    if (Duration.between(lastCall, clock.instant()).compareTo(idle) >= 0) {
      deactivate();
    }
  }

  // === looking ===

  /**
   * The committed state, decoded from its bytes.
   *
   * @return what {@code initial()} gives if there is none yet
   */
  public S state() {
    return engine.read(engine.cell(cell.bytes()));
  }

  /**
   * Whether the actor has a committed state.
   *
   * @return false for an actor that no turn has changed
   */
  public boolean hasState() {
    return !cell.bytes().getContentType().isEmpty();
  }

  /**
   * Begins with this state, as if an earlier turn had committed it.
   *
   * @param state the state
   * @return this
   */
  public TestKit<S> withState(S state) {
    cell = engine.cell(engine.definition().state().encode(Objects.requireNonNull(state, "state")));
    return this;
  }

  /**
   * The committed tags.
   *
   * @return not modifiable
   */
  public Map<String, String> tags() {
    return tags;
  }

  /**
   * How many lives the actor has begun.
   *
   * @return 0 before the first call
   */
  public int activations() {
    return activations;
  }

  /**
   * Whether the actor is alive.
   *
   * @return false before the first call and after a deactivation
   */
  public boolean isActive() {
    return active;
  }

  /**
   * The calls that the actor has made in its turns since the last {@link #clearEffects}, in order. Calls of failed turns
   * count: they went out.
   *
   * @return a copy
   */
  public List<Effect> effects() {
    return List.copyOf(effects);
  }

  /** Forgets the calls made so far. */
  public void clearEffects() {
    effects.clear();
  }

  /**
   * The time.
   *
   * @return the kit's clock
   */
  public Clock clock() {
    return clock;
  }

  /**
   * Answers the calls of the actor to another actor type.
   *
   * @param type the type's name
   * @param action the action
   * @param stub what it answers; what it throws reaches the actor as the error of the call
   * @param <I> the type of the argument
   * @param <O> the type of the reply
   * @return this
   */
  public <I, O> TestKit<S> stub(String type, Action<I, O> action, Stub<I, O> stub) {
    stubs.put(type, action, stub);
    return this;
  }

  /**
   * The definition of the actor under test.
   *
   * @return its definition
   */
  public ActorDefinition<?, S> definition() {
    return engine.definition();
  }
}
