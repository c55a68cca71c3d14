package io.callboard.sdk.internal;

import io.callboard.sdk.CallException;
import io.callboard.host.v1.Workflow;
import io.callboard.type.v1.CallError;
import io.callboard.type.v1.Payload;
import java.util.Map;

/** How a turn ended. */
public sealed interface TurnOutcome {
  /**
   * It returned.
   *
   * @param reply the encoded reply
   * @param state the encoded state after the turn; null if unchanged
   * @param tags the tags after the turn; null if unchanged
   * @param workflow what the turn sets going if it commits; null if nothing
   */
  record Replied(Payload reply, Payload state, Map<String, String> tags, Workflow workflow)
      implements TurnOutcome {}

  /**
   * It failed. State and tags are as before.
   *
   * @param error what the caller is told
   * @param cause the exception behind it; null if there is none
   */
  record Failed(CallError error, Throwable cause) implements TurnOutcome {
    /**
     * Whether the action threw something that it did not mean to report.
     *
     * @return false for errors that actions and the SDK report on purpose
     */
    public boolean unexpected() {
      return error.getReason().equals("ACTION_ERROR") && cause != null && !(cause instanceof CallException);
    }
  }

  /** It ended because it was cancelled. State and tags are as before. */
  record Cancelled() implements TurnOutcome {}
}
