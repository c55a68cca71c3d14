package io.callboard.sdk;

import com.google.protobuf.Any;
import com.google.protobuf.Message;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * A failure that an action reports to its caller. Thrown by an action, it discards the turn's changes and reaches the
 * caller with code, reason, message and details as they are; a retry with the same request id gets the same error.
 */
public final class ActorError extends CallException {
  private static final long serialVersionUID = 1L;

  /**
   * Makes an error.
   *
   * @param code the kind of failure
   * @param reason stable and machine readable, in UPPER_SNAKE_CASE, for example {@code "INSUFFICIENT_FUNDS"}
   * @param message for people
   */
  public ActorError(ErrorCode code, String reason, String message) {
    this(code, reason, message, Map.of(), List.of());
  }

  /**
   * Makes an error with facts and details.
   *
   * @param code the kind of failure
   * @param reason stable and machine readable, in UPPER_SNAKE_CASE
   * @param message for people
   * @param metadata structured facts
   * @param details typed details
   */
  public ActorError(
      ErrorCode code, String reason, String message, Map<String, String> metadata, List<Any> details) {
    super(code, reason, message, RetryAdvice.NEVER, Duration.ZERO, metadata, details);
  }

  /**
   * The same error with one more fact.
   *
   * @param name the fact's name
   * @param value the fact
   * @return a new error
   */
  public ActorError with(String name, String value) {
    Map<String, String> facts = new HashMap<>(metadata());
    facts.put(name, value);
    return new ActorError(code(), reason(), getMessage(), facts, details());
  }

  /**
   * The same error with one more typed detail.
   *
   * @param detail any protobuf message
   * @return a new error
   */
  public ActorError with(Message detail) {
    List<Any> all = new ArrayList<>(details());
    all.add(Any.pack(detail));
    return new ActorError(code(), reason(), getMessage(), metadata(), all);
  }

  /** Always true: the actor's own code returned it. */
  @Override
  public boolean fromActor() {
    return true;
  }
}
