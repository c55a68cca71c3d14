package io.callboard.sdk;

import com.fasterxml.jackson.databind.JsonNode;
import io.callboard.sdk.internal.RequestIds;
import io.callboard.sdk.internal.TurnContext;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.function.BiFunction;
import java.util.function.Function;

/**
 * Work in several steps over several actors, that is done as a whole or taken back. It belongs to one durable actor, its
 * coordinator: the progress is a part of that actor's state, and one turn of the actor runs one step. Make one saga for a
 * coordinator type; it keeps nothing itself and serves all threads.
 *
 * <pre>{@code
 * static final Saga<State, Order> SAGA =
 *     Saga.<State, Order>builder(Order.class)
 *         .step("reserve", Shop::reserve, Shop::release)
 *         .step("charge", Shop::charge, Shop::refund)
 *         .progress(State::saga, State::withSaga)
 *         .build();
 * }</pre>
 *
 * <p>What it promises is the same in every SDK and written down in {@code sdks/SAGA.md}.
 *
 * @param <S> the type of the coordinator's state
 * @param <D> the type of what the steps work on; travels as JSON
 */
public final class Saga<S, D> {
  /** The coordinator's action if the builder is told no other: {@code saga}, with JSON. */
  public static final Action<SagaTurn, Void> ACTION = Action.json("saga", SagaTurn.class, Void.class);

  private static final Codec<JsonNode> JSON = Codecs.json(JsonNode.class);
  private static final long RETRY_MS_FIRST = 100;
  private static final long RETRY_MS_MAX = 10_000;

  /**
   * What a step does, or takes back.
   *
   * @param <S> the type of the coordinator's state
   * @param <D> the type of what the steps work on
   */
  @FunctionalInterface
  public interface Do<S, D> {
    /**
     * Does it. Calls through the context have ids that every turn of the same step shares.
     *
     * @param context the turn
     * @param data what the steps work on
     * @return what the later steps, and the compensations, work on
     * @throws Exception if it fails: an {@link ActorError} says that nothing was done
     */
    D run(Context<S> context, D data) throws Exception;
  }

  private record Step<S, D>(String name, Do<S, D> action, Do<S, D> compensate) {}

  private final List<Step<S, D>> steps;
  private final Codec<D> data;
  private final Function<S, SagaProgress> load;
  private final BiFunction<S, SagaProgress, S> save;
  private final Function<SagaTurn, Function<ActorId, ActorCall<?, ?>>> call;
  private final int attempts;
  private final Duration watch;

  private Saga(Builder<S, D> from) {
    this.steps = List.copyOf(from.steps);
    this.data = Codecs.json(from.data);
    this.load = Objects.requireNonNull(from.load, "say with progress(...) where the progress is kept");
    this.save = from.save;
    this.call = from.call;
    this.attempts = from.attempts;
    this.watch = from.watch;
  }

  /**
   * Begins a saga.
   *
   * @param data the type of what the steps work on
   * @param <S> the type of the coordinator's state
   * @param <D> the type of what the steps work on
   * @return a builder
   */
  public static <S, D> Builder<S, D> builder(Class<D> data) {
    return new Builder<>(data);
  }

  /**
   * Starts a saga if this turn commits.
   *
   * @param context the turn of any of the coordinator's actions
   * @param data what the steps work on
   * @return the saga's id
   * @throws ActorError SAGA_RUNNING while an earlier one runs or is taken back
   */
  public String start(Context<S> context, D data) {
    SagaProgress old = load.apply(context.state());
    if (old != null && old.status().goesOn()) {
      throw new ActorError(
              ErrorCode.FAILED_PRECONDITION,
              "SAGA_RUNNING",
              "saga " + old.id() + " is under way; nothing was started, wait for its end")
          .with("saga", old.id());
    }
    String id = RequestIds.next(context.now().toEpochMilli());
    SagaProgress progress =
        new SagaProgress(id, SagaStatus.RUNNING, steps.get(0).name(), 1, 0, 0, json(data), null);
    save(context, progress);
    tell(context, progress, 0);
    tellWatch(context, progress);
    return id;
  }

  /**
   * How far the saga is.
   *
   * @param state the coordinator's state
   * @return empty before the first start
   */
  public Optional<SagaStatus> status(S state) {
    return Optional.ofNullable(load.apply(state)).map(SagaProgress::status);
  }

  /**
   * Goes on with a failed saga, with its attempts counted anew.
   *
   * @param context the turn of any of the coordinator's actions
   * @throws ActorError SAGA_NOT_FAILED if it has not failed
   */
  public void resume(Context<S> context) {
    SagaProgress failed = load.apply(context.state());
    if (failed == null || failed.status() != SagaStatus.FAILED) {
      String found = failed == null ? "was never started" : "is " + failed.status();
      throw new ActorError(
          ErrorCode.FAILED_PRECONDITION, "SAGA_NOT_FAILED", "the saga " + found + "; only a failed one is resumed");
    }
    SagaProgress progress =
        failed.at(
            SagaStatus.COMPENSATING, failed.step(), failed.turn() + 1, 0, failed.refused(), failed.error());
    save(context, progress);
    tell(context, progress, 0);
    tellWatch(context, progress);
  }

  /**
   * Runs the step that is next: all that the coordinator's action does.
   *
   * @param context the turn of that action
   * @param argument its argument
   * @return what the action returns
   */
  public Reply<Void> turn(Context<S> context, SagaTurn argument) {
    SagaProgress progress = load.apply(context.state());
    if (progress != null && progress.id().equals(argument.saga()) && progress.status().goesOn()) {
      if (argument.watch() != 0) {
        watched(context, progress, argument.watch());
      } else if (argument.turn() == progress.turn()) {
        run(context, progress);
      }
    }
    return Reply.of(null);
  }

  private void run(Context<S> context, SagaProgress progress) {
    if (!(context instanceof TurnContext<S> turn)) {
      throw new IllegalArgumentException("a saga runs with the context that its action was given");
    }
    Step<S, D> step = steps.get(index(progress));
    boolean undo = progress.status() == SagaStatus.COMPENSATING;
    String key = progress.id() + "/" + step.name();
    if (undo) {
      key += "/undo" + (progress.refused() == 0 ? "" : progress.refused());
    }
    Do<S, D> body = undo ? step.compensate() : step.action();
    JsonNode changed;
    turn.beginStep(key);
    try {
      D given = data.decode(JSON.encode(progress.data()));
      changed = body == null ? progress.data() : json(body.run(context, given));
      turn.endStep();
    } catch (Exception e) { // Whatever a step throws, the saga must go on.
      turn.undoStep();
      context.cancellation().throwIfCancelled();
      Throwable cause = cause(e);
      log(context, progress, cause);
      goOn(context, failed(progress, cause));
      return;
    }
    wentWell(context, progress.with(changed));
  }

  /** A refusal is meant for the saga; only a bug needs a stack. */
  private void log(Context<S> context, SagaProgress progress, Throwable cause) {
    String what = "saga " + progress.id() + " failed at step " + progress.step() + " (" + progress.status() + ")";
    if (cause instanceof CallException error) {
      context.log().log(System.Logger.Level.INFO, what + ": " + error);
    } else {
      context.log().log(System.Logger.Level.WARNING, what, cause);
    }
  }

  private void wentWell(Context<S> context, SagaProgress progress) {
    boolean running = progress.status() == SagaStatus.RUNNING;
    int at = index(progress);
    String following;
    if (running) {
      following = at + 1 < steps.size() ? steps.get(at + 1).name() : null;
    } else {
      following = compensatedBefore(at);
    }
    SagaProgress.Failure error = running ? null : progress.error();
    if (following == null) {
      SagaStatus over = running ? SagaStatus.DONE : SagaStatus.COMPENSATED;
      save(context, progress.at(over, progress.step(), progress.turn(), 0, 0, error));
      return;
    }
    goOn(context, progress.at(progress.status(), following, progress.turn() + 1, 0, 0, error));
  }

  /** Where the saga is after a failure of its present step; no cause stands for a turn that vanished. */
  private SagaProgress failed(SagaProgress progress, Throwable cause) {
    boolean actorError = cause instanceof CallException error && error.fromActor();
    int attempt = progress.attempt() + 1;
    int refused = progress.refused() + (actorError ? 1 : 0);
    int turn = progress.turn() + 1;
    boolean givenUp = attempt >= attempts;
    SagaProgress.Failure error = failure(progress.step(), cause);
    if (progress.status() == SagaStatus.COMPENSATING) {
      // Why the saga is taken back stays, unless a compensation is given up.
      return givenUp
          ? progress.at(SagaStatus.FAILED, progress.step(), turn, attempt, refused, error)
          : progress.at(SagaStatus.COMPENSATING, progress.step(), turn, attempt, refused, progress.error());
    }
    boolean nothingDone = refuses(cause);
    if (!nothingDone && !givenUp) {
      return progress.at(SagaStatus.RUNNING, progress.step(), turn, attempt, refused, error);
    }
    // A refused step did nothing; one that was given up may have.
    int at = index(progress);
    String back = compensatedBefore(nothingDone ? at : at + 1);
    return back == null
        ? progress.at(SagaStatus.COMPENSATED, progress.step(), turn, 0, 0, error)
        : progress.at(SagaStatus.COMPENSATING, back, turn, 0, 0, error);
  }

  private void watched(Context<S> context, SagaProgress progress, int watchedTurn) {
    SagaProgress now = progress;
    if (progress.turn() == watchedTurn) {
      now = failed(progress, null);
      save(context, now);
      if (!now.status().goesOn()) {
        return;
      }
      tell(context, now, 0);
    }
    tellWatch(context, now);
  }

  private void goOn(Context<S> context, SagaProgress progress) {
    save(context, progress);
    if (progress.status().goesOn()) {
      long delayMs =
          progress.attempt() == 0
              ? 0
              : Math.min(RETRY_MS_MAX, RETRY_MS_FIRST << Math.min(progress.attempt() - 1, 10));
      tell(context, progress, delayMs);
    }
  }

  private int index(SagaProgress progress) {
    for (int i = 0; i < steps.size(); i++) {
      if (steps.get(i).name().equals(progress.step())) {
        return i;
      }
    }
    throw new CallException(
        ErrorCode.FAILED_PRECONDITION,
        "SAGA_STEP_UNKNOWN",
        "saga " + progress.id() + " stands at step \"" + progress.step()
            + "\", which this host does not know; run a host that does",
        RetryAdvice.NEVER);
  }

  /** The last step before this one that has something to take back; null if there is none. */
  private String compensatedBefore(int at) {
    for (int i = at - 1; i >= 0; i--) {
      if (steps.get(i).compensate() != null) {
        return steps.get(i).name();
      }
    }
    return null;
  }

  private JsonNode json(D value) {
    return JSON.decode(data.encode(value));
  }

  private void save(Context<S> context, SagaProgress progress) {
    context.setState(save.apply(context.state(), progress));
  }

  private void tell(Context<S> context, SagaProgress progress, long delayMs) {
    context.tell(
        call.apply(new SagaTurn(progress.id(), progress.turn(), 0)).apply(context.self()),
        Duration.ofMillis(delayMs));
  }

  private void tellWatch(Context<S> context, SagaProgress progress) {
    context.tell(call.apply(new SagaTurn(progress.id(), 0, progress.turn())).apply(context.self()), watch);
  }

  private static Throwable cause(Throwable thrown) {
    Throwable cause = thrown;
    while ((cause instanceof CompletionException || cause instanceof ExecutionException)
        && cause.getCause() != null) {
      cause = cause.getCause();
    }
    return cause;
  }

  /** Whether a step that failed so did nothing. */
  private static boolean refuses(Throwable cause) {
    if (!(cause instanceof CallException error)) {
      return false;
    }
    return error.fromActor()
        || error.retry() == RetryAdvice.NEVER && error.code() != ErrorCode.DEADLINE_EXCEEDED;
  }

  private static SagaProgress.Failure failure(String step, Throwable cause) {
    if (cause == null) {
      return new SagaProgress.Failure(step, "TURN_VANISHED", "the turn timed out, or its hosts died");
    }
    if (cause instanceof CallException error) {
      return new SagaProgress.Failure(step, error.reason(), error.getMessage());
    }
    String detail = cause.getMessage() == null ? "" : ": " + cause.getMessage();
    return new SagaProgress.Failure(step, "ACTION_ERROR", cause.getClass().getSimpleName() + detail);
  }

  /**
   * Puts a saga together.
   *
   * @param <S> the type of the coordinator's state
   * @param <D> the type of what the steps work on
   */
  public static final class Builder<S, D> {
    private final Class<D> data;
    private final List<Step<S, D>> steps = new ArrayList<>();
    private Function<S, SagaProgress> load;
    private BiFunction<S, SagaProgress, S> save;
    private Function<SagaTurn, Function<ActorId, ActorCall<?, ?>>> call =
        turn -> self -> self.action(ACTION).with(turn);
    private int attempts = 10;
    private Duration watch = Duration.ofMinutes(1);

    private Builder(Class<D> data) {
      this.data = Objects.requireNonNull(data, "data");
    }

    /**
     * Adds a step.
     *
     * @param name unique within the saga; kept with the progress, so it must not change while sagas are under way
     * @param action does it
     * @param compensate takes it back. It may find nothing to take back, and must be content with that
     * @return this
     */
    public Builder<S, D> step(String name, Do<S, D> action, Do<S, D> compensate) {
      if (steps.stream().anyMatch(step -> step.name().equals(name))) {
        throw new IllegalArgumentException("two steps of a saga have the name \"" + name + "\"");
      }
      Objects.requireNonNull(action, "action");
      steps.add(new Step<>(Objects.requireNonNull(name, "name"), action, compensate));
      return this;
    }

    /**
     * Adds a step that leaves nothing to be taken back.
     *
     * @param name unique within the saga
     * @param action does it
     * @return this
     */
    public Builder<S, D> step(String name, Do<S, D> action) {
      return step(name, action, null);
    }

    /**
     * Says where in the coordinator's state the progress is kept.
     *
     * @param load reads it; null before the first start
     * @param save answers the state with it
     * @return this
     */
    public Builder<S, D> progress(Function<S, SagaProgress> load, BiFunction<S, SagaProgress, S> save) {
      this.load = Objects.requireNonNull(load, "load");
      this.save = Objects.requireNonNull(save, "save");
      return this;
    }

    /**
     * Sets the coordinator's action, which calls {@link Saga#turn}.
     *
     * @param action {@link Saga#ACTION} by default
     * @return this
     */
    public Builder<S, D> action(Action<SagaTurn, ?> action) {
      return action(action, Function.identity());
    }

    /**
     * Sets the coordinator's action, which calls {@link Saga#turn}, where it takes an argument of its own, such as a
     * protobuf message.
     *
     * @param action the action
     * @param argument makes its argument
     * @param <I> the type of the argument
     * @return this
     */
    public <I> Builder<S, D> action(Action<I, ?> action, Function<SagaTurn, I> argument) {
      this.call = turn -> self -> self.action(action).with(argument.apply(turn));
      return this;
    }

    /**
     * Sets how often a step or a compensation is tried.
     *
     * @param attempts 10 by default
     * @return this
     */
    public Builder<S, D> attempts(int attempts) {
      if (attempts < 1) {
        throw new IllegalArgumentException("a saga needs at least one attempt, not " + attempts);
      }
      this.attempts = attempts;
      return this;
    }

    /**
     * Sets when a turn that vanished is handed out again.
     *
     * @param watch one minute by default; longer than the type's turn timeout
     * @return this
     */
    public Builder<S, D> watch(Duration watch) {
      if (watch.isNegative() || watch.isZero()) {
        throw new IllegalArgumentException("a watch is positive, not " + watch);
      }
      this.watch = watch;
      return this;
    }

    /**
     * Ends the saga.
     *
     * @return the saga
     * @throws IllegalStateException if it has no step
     */
    public Saga<S, D> build() {
      if (steps.isEmpty()) {
        throw new IllegalStateException("a saga needs at least one step");
      }
      return new Saga<>(this);
    }
  }
}
