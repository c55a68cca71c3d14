package io.callboard.sdk;

import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.function.UnaryOperator;

/**
 * What an action knows about its turn, and may change. Changes are committed together with the reply when the action
 * returns normally, and discarded when it throws.
 *
 * @param <S> the type of the actor's state
 */
public interface Context<S> extends ReadContext<S> {
  /**
   * Replaces the state.
   *
   * @param state the new state, not null
   */
  void setState(S state);

  /**
   * Replaces the state by a function of it.
   *
   * @param change what to do with the state
   * @return the new state
   */
  default S update(UnaryOperator<S> change) {
    S next = change.apply(state());
    setState(next);
    return next;
  }

  /**
   * Sets a tag, by which actors can be found.
   *
   * @param name the tag
   * @param value its value
   */
  void setTag(String name, String value);

  /**
   * Removes a tag if it is there.
   *
   * @param name the tag
   */
  void removeTag(String name);

  /**
   * Makes a call once the turn has committed, without waiting for it. Nothing is called if the action throws.
   *
   * @param call the call, for example {@code audit.action(AuditDef.NOTE).with(note)}
   */
  void tell(ActorCall<?, ?> call);

  /**
   * Makes a call some time after the turn has committed.
   *
   * @param call the call
   * @param delay how long after the commit
   */
  void tell(ActorCall<?, ?> call, Duration delay);

  /**
   * Makes a call at a time, if the turn commits.
   *
   * @param call the call
   * @param at when; at once if that is past
   */
  void tell(ActorCall<?, ?> call, Instant at);

  /**
   * Says something to everybody who listens to a channel, once the turn has committed.
   *
   * @param channel the channel
   * @param message what is said
   * @param metadata what listeners see beside it
   * @param <T> the type of the message
   */
  <T> void broadcast(Channel<T> channel, T message, Map<String, String> metadata);

  /**
   * Says something to everybody who listens to a channel, once the turn has committed.
   *
   * @param channel the channel
   * @param message what is said
   * @param <T> the type of the message
   */
  default <T> void broadcast(Channel<T> channel, T message) {
    broadcast(channel, message, Map.of());
  }

  /**
   * Leaves the answer to another actor, which gets the argument of the call. What it replies is what this action's caller
   * gets. Counts only if it is returned.
   *
   * @param call the next actor's action with its argument
   * @param <T> the type of the reply
   * @return what the action returns
   */
  default <T> Reply<T> pipe(ActorCall<?, T> call) {
    return Reply.pipe(call);
  }

  /**
   * Leaves the answer to another actor, which gets this action's own argument as it came. Counts only if it is returned.
   *
   * @param action the next actor's action, which takes the same argument
   * @param <T> the type of the reply
   * @return what the action returns
   */
  default <T> Reply<T> forward(ActorAction<?, T> action) {
    return Reply.forward(action);
  }

  /** Saves a snapshot actor with this turn, not only at its interval. */
  void checkpoint();

  /** Takes the actor out of memory when this turn has committed and nothing else waits for it. */
  void deactivate();
}
