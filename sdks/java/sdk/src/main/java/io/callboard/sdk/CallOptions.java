package io.callboard.sdk;

import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;

/** How to make one call. Immutable; each {@code with} method answers a changed copy. */
public final class CallOptions {
  /** The defaults: 30 seconds, a fresh request id, no metadata, safe retries. */
  public static final CallOptions DEFAULT = 
      new CallOptions(null, null, null, Map.of(), true, Duration.ZERO, null);

  private final Duration timeout;
  private final String idempotencyKey;
  private final Instant createdAt;
  private final Map<String, String> metadata;
  private final boolean retry;
  private final Duration delay;
  private final Instant at;

  private CallOptions(
      Duration timeout,
      String idempotencyKey,
      Instant createdAt,
      Map<String, String> metadata,
      boolean retry,
      Duration delay,
      Instant at) {
    this.timeout = timeout;
    this.idempotencyKey = idempotencyKey;
    this.createdAt = createdAt;
    this.metadata = metadata;
    this.retry = retry;
    this.delay = delay;
    this.at = at;
  }

  /**
   * Waits at most this long for the reply, retries included.
   *
   * @param timeout a positive duration
   * @return the changed options
   */
  public CallOptions withTimeout(Duration timeout) {
    if (timeout.isNegative() || timeout.isZero()) {
      throw new IllegalArgumentException("a timeout must be positive, not " + timeout);
    }
    return new CallOptions(timeout, idempotencyKey, createdAt, metadata, retry, delay, at);
  }

  /**
   * Names the logical call. An actor applies an action at most once per key, so calling again with the same key and the
   * same argument answers the outcome of the first call. Not for calls inside a turn, which get theirs from the turn.
   *
   * @param key 1 to 128 bytes
   * @return the changed options
   */
  public CallOptions withIdempotencyKey(String key) {
    Objects.requireNonNull(key, "key");
    return new CallOptions(timeout, key, createdAt, metadata, retry, delay, at);
  }

  /**
   * Says when the logical call was first made, for a call that is repeated with its old idempotency key after a
   * restart. A call that is too old for its outcome to be known is then refused with REQUEST_EXPIRED, never run twice.
   *
   * @param createdAt when
   * @return the changed options
   */
  public CallOptions withCreatedAt(Instant createdAt) {
    Objects.requireNonNull(createdAt, "createdAt");
    return new CallOptions(timeout, idempotencyKey, createdAt, metadata, retry, delay, at);
  }

  /**
   * Sends text along with the call.
   *
   * @param metadata at most 64 entries and 8 KiB in all
   * @return the changed options
   */
  public CallOptions withMetadata(Map<String, String> metadata) {
    return new CallOptions(timeout, idempotencyKey, createdAt, Map.copyOf(metadata), retry, delay, at);
  }

  /**
   * Switches the built-in retries off, or on again.
   *
   * @param retry false to send the call once only
   * @return the changed options
   */
  public CallOptions withRetry(boolean retry) {
    return new CallOptions(timeout, idempotencyKey, createdAt, metadata, retry, delay, at);
  }

  /**
   * Makes the call later, counted from when it is accepted. Only for {@link Client#tell}: nobody waits for its reply.
   * Takes the place of {@link #withAt}.
   *
   * @param delay how much later
   * @return the changed options
   */
  public CallOptions withDelay(Duration delay) {
    if (delay.isNegative()) {
      throw new IllegalArgumentException("a delay is not negative: " + delay);
    }
    return new CallOptions(timeout, idempotencyKey, createdAt, metadata, retry, delay, null);
  }

  /**
   * Makes the call at a time. Only for {@link Client#tell}: nobody waits for its reply. Takes the place of {@link
   * #withDelay}.
   *
   * @param at when; at once if that is past
   * @return the changed options
   */
  public CallOptions withAt(Instant at) {
    Objects.requireNonNull(at, "at");
    return new CallOptions(timeout, idempotencyKey, createdAt, metadata, retry, Duration.ZERO, at);
  }

  /**
   * The timeout.
   *
   * @return empty for the default
   */
  public Optional<Duration> timeout() {
    return Optional.ofNullable(timeout);
  }

  /**
   * The name of the logical call.
   *
   * @return empty for a fresh one
   */
  public Optional<String> idempotencyKey() {
    return Optional.ofNullable(idempotencyKey);
  }

  /**
   * When the logical call was first made.
   *
   * @return empty for now
   */
  public Optional<Instant> createdAt() {
    return Optional.ofNullable(createdAt);
  }

  /**
   * The text that travels with the call.
   *
   * @return never null
   */
  public Map<String, String> metadata() {
    return metadata;
  }

  /**
   * Whether the SDK retries where that is safe.
   *
   * @return true by default
   */
  public boolean retry() {
    return retry;
  }

  /**
   * How much later the call is made.
   *
   * @return zero for at once
   */
  public Duration delay() {
    return delay;
  }

  /**
   * When the call is made.
   *
   * @return empty for at once, or after {@link #delay}
   */
  public Optional<Instant> at() {
    return Optional.ofNullable(at);
  }

  /** Refuses a delay or a time where somebody waits for the reply. */
  void checkNow() {
    if (at != null || !delay.isZero()) {
      throw new IllegalArgumentException("a call whose reply is waited for has no delay and no time; tell it");
    }
  }
}
