package io.callboard.sdk;

import java.time.Instant;
import java.util.Map;

/**
 * The state that an actor had at a revision.
 *
 * @param state the state; null if it had none
 * @param revision the revision
 * @param committedAt when it was committed
 * @param tags the tags that it had
 * @param <S> the type of the state
 */
public record PastState<S>(S state, long revision, Instant committedAt, Map<String, String> tags) {}
