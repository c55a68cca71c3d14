package io.callboard.sdk;

import com.google.protobuf.Any;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/**
 * A call that did not get a reply, and why. Errors that the actor's own code returned are {@link ActorError}s; all
 * others come from Callboard: it refused the call, or lost it.
 */
public class CallException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final ErrorCode code;
  private final String reason;
  private final RetryAdvice retry;
  private final Duration retryAfter;
  private final Map<String, String> metadata;
  private final transient List<Any> details;

  /**
   * Makes an error.
   *
   * @param code the kind of failure
   * @param reason stable and machine readable, in UPPER_SNAKE_CASE
   * @param message for people: what happened, whether a retry is safe, what to do
   * @param retry whether the call may be sent again
   * @param retryAfter how long to wait before that; zero means no advice
   * @param metadata structured facts about the error
   * @param details typed details
   */
  public CallException(
      ErrorCode code,
      String reason,
      String message,
      RetryAdvice retry,
      Duration retryAfter,
      Map<String, String> metadata,
      List<Any> details) {
    super(message);
    this.code = Objects.requireNonNull(code, "code");
    this.reason = Objects.requireNonNull(reason, "reason");
    this.retry = Objects.requireNonNull(retry, "retry");
    this.retryAfter = Objects.requireNonNull(retryAfter, "retryAfter");
    this.metadata = Map.copyOf(metadata);
    this.details = List.copyOf(details);
  }

  /**
   * Makes an error without facts and details.
   *
   * @param code the kind of failure
   * @param reason stable and machine readable, in UPPER_SNAKE_CASE
   * @param message for people
   * @param retry whether the call may be sent again
   */
  public CallException(ErrorCode code, String reason, String message, RetryAdvice retry) {
    this(code, reason, message, retry, Duration.ZERO, Map.of(), List.of());
  }

  /**
   * The kind of failure.
   *
   * @return one of the codes of google.rpc
   */
  public ErrorCode code() {
    return code;
  }

  /**
   * The stable, machine readable reason.
   *
   * @return for example {@code "MAILBOX_FULL"}
   */
  public String reason() {
    return reason;
  }

  /**
   * Whether the call may be sent again. The client has already done so where it was safe and there was time.
   *
   * @return the advice
   */
  public RetryAdvice retry() {
    return retry;
  }

  /**
   * How long to wait before sending the call again.
   *
   * @return zero if there is no advice
   */
  public Duration retryAfter() {
    return retryAfter;
  }

  /**
   * Structured facts about the error, for example the limit that was exceeded.
   *
   * @return the facts, never null
   */
  public Map<String, String> metadata() {
    return metadata;
  }

  /**
   * Typed details that the actor's code attached.
   *
   * @return the details, never null
   */
  public List<Any> details() {
    return details == null ? List.of() : details;
  }

  /**
   * Whether the actor's own code returned the error, which makes it a stored outcome.
   *
   * @return false if Callboard refused or lost the call
   */
  public boolean fromActor() {
    return false;
  }

  /** Prints code, reason and message. */
  @Override
  public String toString() {
    return code + " " + reason + ": " + getMessage();
  }
}
