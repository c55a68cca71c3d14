package io.callboard.sdk;

import com.fasterxml.jackson.databind.JsonNode;
import com.google.protobuf.ByteString;
import io.callboard.type.v1.Payload;

/**
 * Where a {@link Saga} is: a part of its coordinator's state.
 *
 * @param id the saga's id
 * @param status how far it is
 * @param step the step that runs, or is compensated, next; the last one when it is over
 * @param turn counts the turns that were handed out
 * @param attempt failures of the present step or compensation
 * @param refused those of them that were actor errors
 * @param data what the steps work on
 * @param error the newest failure of the present step, then why the saga is taken back, and of a failed saga why its
 *     compensation failed; null if there is none
 */
public record SagaProgress(
    String id,
    SagaStatus status,
    String step,
    int turn,
    int attempt,
    int refused,
    JsonNode data,
    Failure error) {
  private static final Codec<SagaProgress> JSON = Codecs.json(SagaProgress.class);

  /**
   * A failure of a step.
   *
   * @param step which step
   * @param reason stable and machine readable
   * @param message for people
   */
  public record Failure(String step, String reason, String message) {}

  /**
   * The progress as text, for a coordinator whose state is a protobuf message.
   *
   * @return JSON
   */
  public String toJson() {
    return JSON.encode(this).getData().toStringUtf8();
  }

  /**
   * The progress in a text.
   *
   * @param json JSON; empty before the first start
   * @return null if the text is empty
   * @throws IllegalArgumentException if the text is no progress
   */
  public static SagaProgress fromJson(String json) {
    if (json.isEmpty()) {
      return null;
    }
    return JSON.decode(
        Payload.newBuilder()
            .setContentType("application/json")
            .setData(ByteString.copyFromUtf8(json))
            .build());
  }

  SagaProgress at(SagaStatus status, String step, int turn, int attempt, int refused, Failure error) {
    return new SagaProgress(id, status, step, turn, attempt, refused, data, error);
  }

  SagaProgress with(JsonNode data) {
    return new SagaProgress(id, status, step, turn, attempt, refused, data, error);
  }
}
