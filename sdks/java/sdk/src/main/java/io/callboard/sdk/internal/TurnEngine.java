package io.callboard.sdk.internal;

import io.callboard.sdk.Actor;
import io.callboard.sdk.ActorDefinition;
import io.callboard.sdk.ActorDefinition.Binding;
import io.callboard.sdk.ActorSettings;
import io.callboard.sdk.CallException;
import io.callboard.sdk.ErrorCode;
import io.callboard.sdk.Reply;
import io.callboard.type.v1.CallError;
import io.callboard.type.v1.Payload;
import io.callboard.type.v1.Retry;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.function.Consumer;
import java.util.function.Supplier;

/**
 * Runs turns of one actor type: finds the action, decodes, calls the user's code, encodes what it left. The host and
 * the test kit share it, so that a test sees exactly what a host does.
 *
 * @param <A> the class of the objects that run the actions
 * @param <S> the type of the state
 */
public final class TurnEngine<A, S> {
  private final ActorDefinition<A, S> definition;
  private final ActorSettings settings;
  private final Supplier<? extends Actor<S>> actors;

  private TurnEngine(
      ActorDefinition<A, S> definition, ActorSettings settings, Supplier<? extends Actor<S>> actors) {
    settings.check(definition);
    this.definition = definition;
    this.settings = settings;
    this.actors = actors;
  }

  /**
   * An engine for the actors that a supplier makes.
   *
   * @param actors makes an actor for each turn
   * @param <S> the type of the state
   * @return the engine
   * @throws IllegalStateException if the type's settings name actions that it does not have
   */
  public static <S> TurnEngine<?, S> of(Supplier<? extends Actor<S>> actors) {
    Actor<S> actor = actors.get();
    return new TurnEngine<>(actor.definition(), actor.settings(), actors);
  }

  /**
   * What the engine runs.
   *
   * @return the definition
   */
  public ActorDefinition<A, S> definition() {
    return definition;
  }

  /**
   * What the type asks for beyond the running of calls.
   *
   * @return its settings
   */
  public ActorSettings settings() {
    return settings;
  }

  /**
   * A cell for an actor's state.
   *
   * @param bytes the state; without content type there is none yet
   * @return the cell
   */
  public StateCell<S> cell(Payload bytes) {
    return new StateCell<>(definition.state(), bytes);
  }

  /**
   * The decoded state in a cell.
   *
   * @param cell the cell
   * @return what {@code initial()} gives if there is none yet
   */
  public S read(StateCell<S> cell) {
    return cell.exists() ? cell.value() : definition.initial(newActor());
  }

  @SuppressWarnings("unchecked") // A definition is made by the class whose objects it runs.
  private A newActor() {
    return (A) actors.get();
  }

  /**
   * Runs one turn. The cell then holds the state after it.
   *
   * @param input the turn
   * @param cell the state before it
   * @param done told how the turn ended, once, on this thread or on another
   */
  public void run(TurnInput input, StateCell<S> cell, Consumer<TurnOutcome> done) {
    Binding<A, S, ?, ?> binding = definition.binding(input.turn().getAction());
    if (binding == null) {
      done.accept(unknownAction(input));
      return;
    }
    runBound(binding, input, cell, done);
  }

  private <I, O> void runBound(
      Binding<A, S, I, O> binding, TurnInput input, StateCell<S> cell, Consumer<TurnOutcome> done) {
    I argument;
    try {
      argument = binding.action().input().decode(input.turn().getPayload());
    } catch (IllegalArgumentException e) {
      String message = name(input) + " cannot read its argument, " + e.getMessage() + ". A retry fails the same way.";
      CallError error = Wire.refusal(ErrorCode.INVALID_ARGUMENT, "INVALID_ARGUMENT_PAYLOAD", message);
      done.accept(new TurnOutcome.Failed(error, e));
      return;
    }
    try {
      cell.load();
    } catch (IllegalArgumentException e) {
      String message = name(input) + " cannot read the actor's state, " + e.getMessage()
          + ". The state is kept as it is; a host that knows how to read it can go on.";
      done.accept(new TurnOutcome.Failed(Wire.refusal(ErrorCode.INTERNAL, "INTERNAL", message), e));
      return;
    }
    boolean readOnly = binding.readOnly() || input.turn().getReadOnly();
    TurnContext<S> context = null;
    Reply<O> reply;
    try {
      A actor = newActor();
      S state = cell.exists() ? cell.value() : definition.initial(actor);
      context = new TurnContext<>(input, state, readOnly, definition.state());
      reply = binding.handler().handle(actor, context, argument);
    } catch (Throwable e) { // The node waits for an answer whatever the user's code throws.
      done.accept(failed(input, context, cell, e));
      return;
    }
    if (reply == null || reply.stage() == null) {
      done.accept(replied(binding, input, context, cell, reply));
      return;
    }
    TurnContext<S> running = context;
    reply
        .stage()
        .whenComplete(
            (value, error) ->
                done.accept(
                    error != null
                        ? failed(input, running, cell, error)
                        : replied(binding, input, running, cell, Reply.of(value))));
  }

  private <O> TurnOutcome replied(
      Binding<A, S, ?, O> binding, TurnInput input, TurnContext<S> context, StateCell<S> cell, Reply<O> answer) {
    try {
      context.end();
      Payload reply = payload(binding, input, context, answer);
      if (binding.readOnly() || input.turn().getReadOnly()) {
        cell.discard();
        return new TurnOutcome.Replied(reply, null, null, null);
      }
      Payload state = null;
      if (context.replaced() || context.exposed()) {
        state = cell.changed(context.finalState());
        if (!context.replaced() && !cell.exists() && isInitial(state)) {
          // Looking at the initial state does not give an actor a state.
          state = null;
        } else {
          cell.commit(context.finalState(), state);
        }
      }
      return new TurnOutcome.Replied(reply, state, context.finalTags(), context.outputs().build());
    } catch (Throwable e) { // Encoding calls the user's classes too.
      return failed(input, context, cell, e);
    }
  }

  /** What the caller gets, or the actor that answers in this one's place. */
  private static <O> Payload payload(
      Binding<?, ?, ?, O> binding, TurnInput input, TurnContext<?> context, Reply<O> answer) {
    if (answer != null && answer.next() != null) {
      if (binding.readOnly() || input.turn().getReadOnly()) {
        throw new IllegalStateException(input.turn().getAction() + " only reads and cannot leave its answer to another");
      }
      return context.outputs().next(answer.next(), binding.action());
    }
    O value = answer == null ? null : answer.value();
    return value == null ? Payload.getDefaultInstance() : binding.action().output().encode(value);
  }

  private boolean isInitial(Payload encoded) {
    if (encoded == null) {
      return true;
    }
    S initial = definition.initial(newActor());
    return initial != null && definition.state().encode(initial).equals(encoded);
  }

  private TurnOutcome failed(TurnInput input, TurnContext<S> context, StateCell<S> cell, Throwable thrown) {
    if (context != null) {
      context.end();
    }
    cell.discard();
    if (input.token().isCancelled()) {
      return new TurnOutcome.Cancelled();
    }
    Throwable cause = thrown;
    while ((cause instanceof CompletionException || cause instanceof ExecutionException)
        && cause.getCause() != null) {
      cause = cause.getCause();
    }
    if (cause instanceof CallException error) {
      return new TurnOutcome.Failed(Wire.actionError(error), error);
    }
    String detail = cause.getMessage() == null ? "" : ": " + cause.getMessage();
    CallError error =
        CallError.newBuilder()
            .setCode(ErrorCode.INTERNAL.number())
            .setReason("ACTION_ERROR")
            .setMessage(name(input) + " failed with " + cause.getClass().getSimpleName() + detail)
            .setRetry(Retry.RETRY_NEVER)
            .setFromActor(true)
            .build();
    return new TurnOutcome.Failed(error, cause);
  }

  private TurnOutcome unknownAction(TurnInput input) {
    String message =
        "actor type " + definition.name() + " has no action \"" + input.turn().getAction() + "\"; it has "
            + definition.bindings().stream().map(b -> b.action().name()).toList();
    return new TurnOutcome.Failed(Wire.refusal(ErrorCode.NOT_FOUND, "UNKNOWN_ACTION", message), null);
  }

  private static String name(TurnInput input) {
    return input.self() + " " + input.turn().getAction();
  }
}
