package io.callboard.sdk.testkit;

/** What goes wrong around a turn. */
public enum Fault {
  /** Nothing. */
  NONE,
  /** The host is lost before the turn is committed, and the turn is run again as its next attempt. */
  BEFORE_COMMIT,
  /** The turn is committed, but the caller never hears of it: the call fails with OUTCOME_UNKNOWN. */
  AFTER_COMMIT,
  /** Every host that runs the turn is lost, so that it is given up: the call fails with TURN_CRASHED_HOST. */
  CRASHED_HOST
}
