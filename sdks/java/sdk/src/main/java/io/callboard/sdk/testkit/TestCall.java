package io.callboard.sdk.testkit;

import io.callboard.sdk.ActorId;
import java.util.Map;
import java.util.Objects;

/**
 * How a test calls the actor. Immutable; each method answers a changed copy.
 *
 * @param requestId the request id; null for a fresh one. The same id again answers the outcome of the first call
 * @param attempt how often the call has been handed to a host already, and once more
 * @param caller the calling actor; null for a call from outside
 * @param metadata text that travels with the call
 * @param cancelled whether the turn is cancelled before it begins to work
 * @param fault what goes wrong
 */
public record TestCall(
    String requestId,
    int attempt,
    ActorId caller,
    Map<String, String> metadata,
    boolean cancelled,
    Fault fault) {
  private static final TestCall PLAIN = new TestCall(null, 1, null, Map.of(), false, Fault.NONE);

  /** Checks the parts. */
  public TestCall {
    if (attempt < 1) {
      throw new IllegalArgumentException("attempts count from 1, not " + attempt);
    }
    metadata = Map.copyOf(metadata);
    Objects.requireNonNull(fault, "fault");
  }

  /**
   * A plain call: fresh request id, first attempt, from outside.
   *
   * @return the call
   */
  public static TestCall plain() {
    return PLAIN;
  }

  /**
   * Sets the request id.
   *
   * @param id the id
   * @return the changed call
   */
  public TestCall withRequestId(String id) {
    return new TestCall(id, attempt, caller, metadata, cancelled, fault);
  }

  /**
   * Sets the attempt.
   *
   * @param number from 1
   * @return the changed call
   */
  public TestCall withAttempt(int number) {
    return new TestCall(requestId, number, caller, metadata, cancelled, fault);
  }

  /**
   * Sets the calling actor.
   *
   * @param actor who calls
   * @return the changed call
   */
  public TestCall withCaller(ActorId actor) {
    return new TestCall(requestId, attempt, actor, metadata, cancelled, fault);
  }

  /**
   * Sets the metadata.
   *
   * @param text what travels with the call
   * @return the changed call
   */
  public TestCall withMetadata(Map<String, String> text) {
    return new TestCall(requestId, attempt, caller, text, cancelled, fault);
  }

  /**
   * Cancels the turn before it begins to work.
   *
   * @return the changed call
   */
  public TestCall withCancellation() {
    return new TestCall(requestId, attempt, caller, metadata, true, fault);
  }

  /**
   * Makes something go wrong.
   *
   * @param what what
   * @return the changed call
   */
  public TestCall withFault(Fault what) {
    return new TestCall(requestId, attempt, caller, metadata, cancelled, what);
  }
}
