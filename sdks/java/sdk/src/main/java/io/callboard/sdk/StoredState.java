package io.callboard.sdk;

import java.util.Map;

/**
 * The committed state of an actor.
 *
 * @param state the state; null if the actor has none
 * @param revision its revision
 * @param tags the tags that the actor's turns set
 * @param <S> the type of the state
 */
public record StoredState<S>(S state, long revision, Map<String, String> tags) {}
