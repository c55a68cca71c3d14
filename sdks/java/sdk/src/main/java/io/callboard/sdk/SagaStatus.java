package io.callboard.sdk;

import com.fasterxml.jackson.annotation.JsonProperty;

/** How far a {@link Saga} is. */
public enum SagaStatus {
  /** Steps run, in order. */
  @JsonProperty("running")
  RUNNING,
  /** Every step ran. */
  @JsonProperty("done")
  DONE,
  /** A step failed; compensations run, in reverse order. */
  @JsonProperty("compensating")
  COMPENSATING,
  /** All of them ran. */
  @JsonProperty("compensated")
  COMPENSATED,
  /** A compensation failed too often; nothing happens until {@link Saga#resume}. */
  @JsonProperty("failed")
  FAILED;

  /** Whether turns of the saga are under way. */
  boolean goesOn() {
    return this == RUNNING || this == COMPENSATING;
  }
}
