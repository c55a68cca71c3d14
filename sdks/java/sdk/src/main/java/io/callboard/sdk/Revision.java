package io.callboard.sdk;

import java.time.Instant;

/**
 * A revision of an actor that is kept.
 *
 * @param revision its number
 * @param committedAt when it was committed
 * @param stateBytes how large the state is
 */
public record Revision(long revision, Instant committedAt, long stateBytes) {}
