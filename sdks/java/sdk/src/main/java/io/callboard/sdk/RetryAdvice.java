package io.callboard.sdk;

/** Whether the same call may be sent again. */
public enum RetryAdvice {
  /** It would fail the same way, or its outcome is final. */
  NEVER,
  /** The call was not run. It may be sent again. */
  SAFE,
  /** The call may have run. It may be sent again only with the same request id, which makes that safe. */
  SAME_ID
}
