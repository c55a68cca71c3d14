package io.callboard.sdk;

/**
 * Says that an actor has a former state again.
 *
 * @param revision the new revision
 * @param restored the revision whose state it has
 */
public record Restored(long revision, long restored) {}
