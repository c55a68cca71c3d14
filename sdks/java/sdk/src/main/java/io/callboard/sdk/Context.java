package io.callboard.sdk;

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
}
