package io.callboard.sdk.testkit;

import io.callboard.sdk.Action;
import io.callboard.sdk.Actor;
import io.callboard.sdk.ActorDefinition;
import io.callboard.sdk.ActorId;
import io.callboard.sdk.CallException;
import io.callboard.sdk.CallOptions;
import io.callboard.sdk.Caller;
import io.callboard.sdk.Channel;
import io.callboard.sdk.JsonActor;
import io.callboard.sdk.internal.Replies;
import io.callboard.sdk.internal.RequestIds;
import io.callboard.sdk.internal.TurnEngine;
import io.callboard.sdk.internal.Wire;
import io.callboard.type.v1.Payload;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * Runs one actor in a unit test, by the rules of a node: a turn that throws leaves nothing behind, a repeated request id
 * answers the stored outcome, state goes through its bytes, {@code init} begins each life. What turns set going is
 * recorded, and delivered by {@link #deliver} and {@link Clock#advance}.
 *
 * <p>The kit is a {@link Caller}, so generated clients call the actor through it:
 * {@code CounterClient.of(kit).ref("u1").add(...)}. One thread at a time.
 *
 * @param <S> the type of the actor's state
 */
public final class TestKit<S> implements Caller {
  private final World world;
  private final Life<S> life;

  TestKit(World world, Life<S> life) {
    this.world = world;
    this.life = life;
  }

  private static <S> TestKit<S> in(World world, TurnEngine<?, S> engine, String key) {
    ActorId self = new ActorId(Wire.DEFAULT_SYSTEM, engine.definition().name(), key);
    return new TestKit<>(world, new Life<>(world, engine, self));
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
    return in(new World(), TurnEngine.of(actors), key);
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
    return of(() -> actor, key);
  }

  /**
   * Adds a type whose actors are real ones beside the actor under test, in the same time: they are called, and get what
   * is told and said.
   *
   * @param actors makes the actor
   * @param key which of them to look at
   * @param <T> the type of its state
   * @return a kit for that one
   */
  @SuppressWarnings("unchecked") // The world keeps one life for each id, of the type that it was made with.
  public <T> TestKit<T> add(Supplier<? extends Actor<T>> actors, String key) {
    TurnEngine<?, T> other = TurnEngine.of(actors);
    world.add(other);
    Life<T> found = (Life<T>) world.life(new ActorId(Wire.DEFAULT_SYSTEM, other.definition().name(), key));
    return new TestKit<>(world, found);
  }

  /**
   * Adds a type without protos; see {@link #add(Supplier, String)}.
   *
   * @param actor the actor type
   * @param key which of its actors to look at
   * @param <T> the type of its state
   * @return a kit for that one
   */
  public <T> TestKit<T> add(JsonActor<T> actor, String key) {
    return add(() -> actor, key);
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
    Payload argumentBytes = action.input().encode(argument);
    String requestId = how.requestId() == null ? RequestIds.next(world.clock.millis()) : how.requestId();
    Payload reply = life.answer(action.name(), argumentBytes, requestId, how, true);
    world.stubs.throwMissing();
    return Replies.decode(life.self(), action, reply);
  }

  @Override
  public <I, O> O call(ActorId target, Action<I, O> action, I argument, CallOptions options) {
    if (!target.type().equals(life.self().type()) || !target.key().equals(life.self().key())) {
      throw new IllegalArgumentException("this kit runs " + life.self() + ", not " + target);
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

  /** Ends the life of the actor as an idle timeout does: the next call begins a new one from the committed bytes. */
  public void deactivate() {
    life.deactivate();
  }

  /** Ends the life of the actor as a crash does, and begins a new one from the committed bytes. */
  public void restart() {
    life.restart();
  }

  // === what is set going ===

  /**
   * Delivers what is due of that which committed turns told and said: to the actor itself, to types that were added, and
   * to stubs. {@link Clock#advance} does so too.
   */
  public void deliver() {
    world.deliver();
    world.stubs.throwMissing();
  }

  /**
   * Says something on a channel, as somebody outside does, and delivers it.
   *
   * @param channel the channel
   * @param message what is said
   * @param <T> the type of the message
   */
  public <T> void publish(Channel<T> channel, T message) {
    world.say(null, channel.name(), channel.codec().encode(message), Map.of());
    deliver();
  }

  /**
   * Makes things go wrong with calls that actors make, and with effects when they are delivered.
   *
   * @param faults asked before each attempt
   * @return this
   */
  public TestKit<S> inject(Function<Effect, Fault> faults) {
    world.faults = Objects.requireNonNull(faults, "faults");
    return this;
  }

  // === looking ===

  /**
   * The committed state, decoded from its bytes.
   *
   * @return what {@code initial()} gives if there is none yet
   */
  public S state() {
    return life.engine().read(life.engine().cell(life.state()));
  }

  /**
   * Whether the actor has a committed state.
   *
   * @return false for an actor that no turn has changed
   */
  public boolean hasState() {
    return !life.state().getContentType().isEmpty();
  }

  /**
   * Begins with this state, as if an earlier turn had committed it.
   *
   * @param state the state
   * @return this
   */
  public TestKit<S> withState(S state) {
    life.state(definition().state().encode(Objects.requireNonNull(state, "state")));
    return this;
  }

  /**
   * The committed tags.
   *
   * @return not modifiable
   */
  public Map<String, String> tags() {
    return life.tags();
  }

  /**
   * How many lives the actor has begun.
   *
   * @return 0 before the first call
   */
  public int activations() {
    return life.activations();
  }

  /**
   * Whether the actor is alive.
   *
   * @return false before the first call and after a deactivation
   */
  public boolean isActive() {
    return life.isActive();
  }

  /**
   * The calls that actors have made in their turns and waited for, since the last {@link #clearRecorded}, in order. Calls
   * of failed turns count: they went out.
   *
   * @return a copy
   */
  public List<Effect> calls() {
    return List.copyOf(world.calls);
  }

  /**
   * The calls that committed turns told since the last {@link #clearRecorded}, in order.
   *
   * @return a copy
   */
  public List<Effect> effects() {
    return List.copyOf(world.effects);
  }

  /**
   * What committed turns said on channels since the last {@link #clearRecorded}, in order.
   *
   * @return a copy
   */
  public List<Said> broadcasts() {
    return List.copyOf(world.broadcasts);
  }

  /**
   * Deliveries and timers whose turns failed since the last {@link #clearRecorded}, in order.
   *
   * @return a copy
   */
  public List<Undelivered> undelivered() {
    return List.copyOf(world.undelivered);
  }

  /** Forgets what was recorded so far. What is still to be delivered is. */
  public void clearRecorded() {
    world.calls.clear();
    world.effects.clear();
    world.broadcasts.clear();
    world.undelivered.clear();
  }

  /**
   * Where the newest turn of this actor left its answer to.
   *
   * @return empty if it answered itself
   */
  public Optional<NextCall> next() {
    return Optional.ofNullable(life.next());
  }

  /**
   * How often turns of this actor asked for a checkpoint.
   *
   * @return the number
   */
  public int checkpoints() {
    return life.checkpoints();
  }

  /**
   * The time.
   *
   * @return the kit's clock
   */
  public Clock clock() {
    return world.clock;
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
    world.stubs.put(type, action, stub);
    return this;
  }

  /**
   * The definition of the actor under test.
   *
   * @return its definition
   */
  public ActorDefinition<?, S> definition() {
    return life.engine().definition();
  }
}
