package io.callboard.sdk.internal;

import io.callboard.host.v1.Broadcast;
import io.callboard.host.v1.Effect;
import io.callboard.host.v1.Limits;
import io.callboard.host.v1.Workflow;
import io.callboard.sdk.ErrorCode;
import io.callboard.type.v1.Payload;

/** Sees to it that no result goes out which the node would not take: such a turn fails, and its caller is told why. */
final class ResultLimits {
  /** What a result needs beside reply, state and workflow: ids, headers, tags. */
  private static final int RESULT_BYTES_EXTRA = 64 * 1024;

  private ResultLimits() {}

  /** The outcome itself, or a failure if a part of it or the whole is over a limit of the session. */
  static TurnOutcome fitting(TurnOutcome outcome, Limits limits) {
    if (!(outcome instanceof TurnOutcome.Replied replied)) {
      return outcome;
    }
    if (tooLarge(replied.reply(), limits.getPayloadBytesMax())) {
      return refused("PAYLOAD_TOO_LARGE", "reply", size(replied.reply()), limits.getPayloadBytesMax());
    }
    if (replied.state() != null && tooLarge(replied.state(), limits.getStateBytesMax())) {
      return refused("STATE_TOO_LARGE", "state", size(replied.state()), limits.getStateBytesMax());
    }
    return replied.workflow() == null ? outcome : fitting(replied, replied.workflow(), limits);
  }

  private static TurnOutcome fitting(TurnOutcome.Replied replied, Workflow workflow, Limits limits) {
    int payloadMax = limits.getPayloadBytesMax();
    for (Effect effect : workflow.getEffectsList()) {
      if (tooLarge(effect.getPayload(), payloadMax)) {
        return refused("PAYLOAD_TOO_LARGE", "argument of an effect", size(effect.getPayload()), payloadMax);
      }
    }
    for (Broadcast broadcast : workflow.getBroadcastsList()) {
      if (tooLarge(broadcast.getPayload(), payloadMax)) {
        return refused("PAYLOAD_TOO_LARGE", "message to a channel", size(broadcast.getPayload()), payloadMax);
      }
    }
    long whole =
        (long) workflow.getSerializedSize()
            + size(replied.reply())
            + (replied.state() == null ? 0 : size(replied.state()));
    int wholeMax = limits.getMessageBytesMax() - RESULT_BYTES_EXTRA;
    if (limits.getMessageBytesMax() > 0 && whole > wholeMax) {
      return refused("PAYLOAD_TOO_LARGE", "result with its effects and broadcasts", whole, wholeMax);
    }
    return replied;
  }

  private static boolean tooLarge(Payload payload, int limit) {
    return limit > 0 && size(payload) > limit;
  }

  private static int size(Payload payload) {
    return payload.getData().size();
  }

  private static TurnOutcome refused(String reason, String what, long bytes, int limit) {
    String message =
        "the " + what + " has " + bytes + " bytes and the node takes " + limit
            + "; the turn had no effect, and a retry fails the same way";
    return new TurnOutcome.Failed(Wire.refusal(ErrorCode.RESOURCE_EXHAUSTED, reason, message), null);
  }
}
