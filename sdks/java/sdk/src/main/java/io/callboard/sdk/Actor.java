package io.callboard.sdk;

/**
 * An actor that a host can run. Classes generated from a proto service implement it; so does {@link JsonActor}.
 *
 * <p>A host makes a new object for each turn. What an actor must remember belongs to its state; what it needs from
 * outside, such as a database pool, is passed to its constructor by the supplier that the host is given.
 *
 * @param <S> the type of the actor's state
 */
public interface Actor<S> {
  /**
   * The actor's type: its name, settings and actions.
   *
   * @return always the same definition
   */
  ActorDefinition<?, S> definition();

  /**
   * What the type asks for beyond the running of calls: timers, channels, a pool, a history.
   *
   * @return nothing by default; always the same settings
   */
  default ActorSettings settings() {
    return ActorSettings.NONE;
  }
}
