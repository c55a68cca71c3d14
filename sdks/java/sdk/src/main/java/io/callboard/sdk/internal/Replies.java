package io.callboard.sdk.internal;

import io.callboard.sdk.Action;
import io.callboard.sdk.ActorId;
import io.callboard.sdk.CallException;
import io.callboard.sdk.ErrorCode;
import io.callboard.sdk.RetryAdvice;
import io.callboard.type.v1.Payload;

/** Decodes the replies of calls. */
public final class Replies {
  private Replies() {}

  /**
   * Decodes a reply. One that cannot be read is an error of the call, because its caller and its actor disagree.
   *
   * @param target who replied
   * @param action to which action
   * @param reply the reply
   * @param <O> the type of the reply
   * @return the value
   * @throws CallException if it cannot be read
   */
  public static <O> O decode(ActorId target, Action<?, O> action, Payload reply) {
    try {
      return action.output().decode(reply);
    } catch (IllegalArgumentException e) {
      throw new CallException(
          ErrorCode.INTERNAL,
          "UNDECODABLE_REPLY",
          "the reply of " + target + " " + action.name() + " cannot be read: " + e.getMessage(),
          RetryAdvice.NEVER);
    }
  }
}
