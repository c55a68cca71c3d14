package io.callboard.sdk;

/** The codes of {@code google.rpc.Code} that an error may carry. */
public enum ErrorCode {
  /** The caller gave up. */
  CANCELLED(1),
  /** Nothing better is known. */
  UNKNOWN(2),
  /** The argument is wrong whatever the state. */
  INVALID_ARGUMENT(3),
  /** Time ran out before the outcome was known. */
  DEADLINE_EXCEEDED(4),
  /** What was asked for does not exist. */
  NOT_FOUND(5),
  /** What was to be made exists. */
  ALREADY_EXISTS(6),
  /** The caller may not do this. */
  PERMISSION_DENIED(7),
  /** A limit is reached. */
  RESOURCE_EXHAUSTED(8),
  /** The state does not allow it. */
  FAILED_PRECONDITION(9),
  /** Something else happened at the same time. */
  ABORTED(10),
  /** The argument is past the end of something. */
  OUT_OF_RANGE(11),
  /** It is not offered. */
  UNIMPLEMENTED(12),
  /** A fault in the action or in Callboard. */
  INTERNAL(13),
  /** Not reachable now. */
  UNAVAILABLE(14),
  /** Data is lost or damaged. */
  DATA_LOSS(15),
  /** The caller did not say who it is. */
  UNAUTHENTICATED(16);

  private final int number;

  ErrorCode(int number) {
    this.number = number;
  }

  /**
   * The number of the code on the wire.
   *
   * @return 1 to 16
   */
  public int number() {
    return number;
  }

  /**
   * The code with a number.
   *
   * @param number a number from the wire
   * @return the code, {@link #UNKNOWN} for a number without one
   */
  public static ErrorCode of(int number) {
    return number >= 1 && number <= 16 ? values()[number - 1] : UNKNOWN;
  }
}
