package io.callboard.sdk;

import io.callboard.control.v1.DeadLettersServiceMethods;
import io.callboard.control.v1.DropDeadLetterRequest;
import io.callboard.control.v1.ListDeadLettersRequest;
import io.callboard.control.v1.ListDeadLettersResponse;
import io.callboard.control.v1.RetryDeadLetterRequest;
import io.callboard.sdk.internal.Pages;
import io.callboard.sdk.internal.Queries;
import io.callboard.sdk.internal.Wire;
import java.time.Instant;
import java.util.List;
import java.util.stream.Stream;

/**
 * Effects of a client's system that could not be delivered. All methods wait for the node, are repeated where that is
 * safe, and throw {@link CallException}.
 */
public final class DeadLetters {
  private final Queries queries;
  private final String system;

  DeadLetters(Queries queries, String system) {
    this.queries = queries;
    this.system = system;
  }

  /**
   * The dead letters of the system, the oldest first. Asks for a page at a time, as the stream needs them.
   *
   * @return the letters
   */
  public Stream<DeadLetter> list() {
    return list("");
  }

  /**
   * The dead letters that actors of one type told, the oldest first.
   *
   * @param sourceType the type's name; empty for all
   * @return the letters
   */
  public Stream<DeadLetter> list(String sourceType) {
    return Pages.stream(
        "",
        token -> {
          ListDeadLettersResponse page =
              queries.ask(
                  DeadLettersServiceMethods.LIST_DEAD_LETTERS,
                  ListDeadLettersRequest.newBuilder()
                      .setSystem(system)
                      .setSourceType(sourceType)
                      .setPageToken(token)
                      .build());
          List<DeadLetter> items = page.getLettersList().stream().map(DeadLetters::letter).toList();
          return new Pages.Page<>(items, Pages.more(page.getNextPageToken()));
        });
  }

  /**
   * Delivers a dead letter again, under its own request id. It is gone once its target accepted it.
   *
   * @param id which
   */
  public void retry(String id) {
    queries.ask(
        DeadLettersServiceMethods.RETRY_DEAD_LETTER, RetryDeadLetterRequest.newBuilder().setId(id).build());
  }

  /**
   * Forgets a dead letter.
   *
   * @param id which
   */
  public void drop(String id) {
    queries.ask(
        DeadLettersServiceMethods.DROP_DEAD_LETTER, DropDeadLetterRequest.newBuilder().setId(id).build());
  }

  private static DeadLetter letter(io.callboard.control.v1.DeadLetter from) {
    return new DeadLetter(
        from.getId(),
        Wire.actorId(from.getSource()),
        Wire.actorId(from.getTarget()),
        from.getAction(),
        from.getChannel(),
        from.getPayload(),
        from.getRequestId(),
        Wire.exception(from.getError()),
        from.getAttempts(),
        Instant.ofEpochMilli(from.getCreatedAtMs()),
        Instant.ofEpochMilli(from.getDiedAtMs()));
  }
}
