package io.callboard.sdk;

import java.time.Instant;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletionStage;

/**
 * What an action that only reads knows about its turn. Also a {@link Caller}: calls made through it belong to the turn,
 * get ids from it, and are therefore not made twice when the turn is run again.
 *
 * <p>A context is valid until its turn ends.
 *
 * @param <S> the type of the actor's state
 */
public interface ReadContext<S> extends Caller {
  /**
   * The actor that the turn runs on.
   *
   * @return its id, system included
   */
  ActorId self();

  /**
   * The actor that made the call.
   *
   * @return empty for calls from outside
   */
  Optional<ActorId> caller();

  /**
   * The text that the caller sent along.
   *
   * @return never null, not modifiable
   */
  Map<String, String> metadata();

  /**
   * When the turn must be over. The node ends it then.
   *
   * @return the deadline by this host's clock
   */
  Instant deadline();

  /**
   * Tells whether somebody still waits for the turn.
   *
   * @return the turn's token
   */
  CancellationToken cancellation();

  /**
   * Names the logical call; the same whenever it is retried or run again. Good as an idempotency key for effects
   * outside Callboard.
   *
   * @return the request id
   */
  String requestId();

  /**
   * Names the work for systems outside Callboard: the request id, or inside a step of a {@link Saga} a name of that step
   * that all of its turns share.
   *
   * @return the key
   */
  String idempotencyKey();

  /**
   * When the logical call was first made, by the caller's clock; the same whenever it is retried or run again.
   *
   * @return the time
   */
  Instant createdAt();

  /**
   * How often this call has been handed to a host.
   *
   * @return 1 for the first time
   */
  int attempt();

  /**
   * Orders the turns of the actor, for effects outside Callboard.
   *
   * @return epoch and revision
   */
  FencingToken fencingToken();

  /**
   * The time. In a test it is the test's.
   *
   * @return now
   */
  Instant now();

  /**
   * A logger that names actor, action and request id in each line.
   *
   * @return the logger
   */
  System.Logger log();

  /**
   * The actor's tags.
   *
   * @return not modifiable
   */
  Map<String, String> tags();

  /**
   * The actor's state; what {@code initial()} gives if it has none yet.
   *
   * @return the state
   */
  S state();

  /**
   * Answers a value.
   *
   * @param value the reply; null if the action answers nothing
   * @param <T> its type
   * @return what the action returns
   */
  default <T> Reply<T> reply(T value) {
    return Reply.of(value);
  }

  /**
   * Answers when a stage completes. The turn lasts until then.
   *
   * @param stage brings the reply
   * @param <T> its type
   * @return what the action returns
   */
  default <T> Reply<T> reply(CompletionStage<? extends T> stage) {
    // A plain null chooses this overload, and means "no value".
    return stage == null ? Reply.of(null) : Reply.later(stage);
  }
}
