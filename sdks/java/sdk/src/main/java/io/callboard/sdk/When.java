package io.callboard.sdk;

import io.callboard.control.v1.ScheduleSpec;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneId;
import java.util.Optional;

/** When and how a schedule calls. Immutable; each {@code with} method answers a changed copy. */
public final class When {
  /** Everything but whom and what to call. */
  private final ScheduleSpec spec;

  private When(ScheduleSpec spec) {
    this.spec = spec;
  }

  /** What a schedule says of when, however it calls. */
  static When of(ScheduleSpec spec) {
    return new When(spec.toBuilder().clearTarget().clearAction().clearArgument().clearMetadata().build());
  }

  ScheduleSpec spec() {
    return spec;
  }

  /**
   * Once, at a time.
   *
   * @param at when
   * @return the time
   */
  public static When at(Instant at) {
    return new When(ScheduleSpec.newBuilder().setAtMs(at.toEpochMilli()).build());
  }

  /**
   * Once, some time after the schedule is made.
   *
   * @param delay how much later
   * @return the time
   */
  public static When after(Duration delay) {
    return new When(ScheduleSpec.newBuilder().setDelayMs(millis("a delay", delay)).build());
  }

  /**
   * Again and again, counted from {@link #withStart} or from when the schedule is made.
   *
   * @param interval at least 100 ms
   * @return the times
   */
  public static When every(Duration interval) {
    return new When(ScheduleSpec.newBuilder().setIntervalMs(millis("an interval", interval)).build());
  }

  /**
   * By a cron line, in UTC unless {@link #withZone} says otherwise.
   *
   * @param line five or six fields (seconds first), or one of @hourly, @daily, @weekly, @monthly, @yearly
   * @return the times
   */
  public static When cron(String line) {
    return new When(ScheduleSpec.newBuilder().setCron(line).build());
  }

  /**
   * Reads a cron line in a time zone. A time that a change of clocks skips fires at the first instant after the gap; one
   * that it repeats fires the first time only.
   *
   * @param zone for example {@code ZoneId.of("Europe/Berlin")}
   * @return the changed times
   */
  public When withZone(ZoneId zone) {
    return new When(spec.toBuilder().setTimeZone(zone.getId()).build());
  }

  /**
   * Puts each occurrence off by up to this much, evenly spread.
   *
   * @param jitter the longest
   * @return the changed times
   */
  public When withJitter(Duration jitter) {
    return new When(spec.toBuilder().setJitterMs(millis("a jitter", jitter)).build());
  }

  /**
   * Says what happens when an occurrence is due while the one before it still runs.
   *
   * @param overlap {@link Overlap#SKIP} by default
   * @return the changed times
   */
  public When withOverlap(Overlap overlap) {
    return new When(
        spec.toBuilder().setOverlap(io.callboard.control.v1.Overlap.forNumber(overlap.ordinal() + 1)).build());
  }

  /**
   * Says how late an occurrence may be; later ones are missed and not made up for.
   *
   * @param window one minute by default
   * @return the changed times
   */
  public When withCatchUp(Duration window) {
    return new When(spec.toBuilder().setCatchupWindowMs(millis("a window", window)).build());
  }

  /**
   * Allows no occurrence before a time.
   *
   * @param start the time
   * @return the changed times
   */
  public When withStart(Instant start) {
    return new When(spec.toBuilder().setStartsAtMs(start.toEpochMilli()).build());
  }

  /**
   * Allows no occurrence after a time.
   *
   * @param end the time
   * @return the changed times
   */
  public When withEnd(Instant end) {
    return new When(spec.toBuilder().setEndsAtMs(end.toEpochMilli()).build());
  }

  /**
   * Ends the schedule after a number of firings.
   *
   * @param firings 0 for no limit
   * @return the changed times
   */
  public When withMaxFirings(long firings) {
    return new When(spec.toBuilder().setMaxFirings(firings).build());
  }

  /**
   * The time of a schedule that fires once at a time.
   *
   * @return empty for other schedules
   */
  public Optional<Instant> at() {
    return spec.hasAtMs() ? Optional.of(Instant.ofEpochMilli(spec.getAtMs())) : Optional.empty();
  }

  /**
   * The interval of a schedule that has one.
   *
   * @return empty for other schedules
   */
  public Optional<Duration> interval() {
    return spec.hasIntervalMs() ? Optional.of(Duration.ofMillis(spec.getIntervalMs())) : Optional.empty();
  }

  /**
   * The line of a cron schedule.
   *
   * @return empty for other schedules
   */
  public Optional<String> cron() {
    return spec.hasCron() ? Optional.of(spec.getCron()) : Optional.empty();
  }

  private static long millis(String what, Duration duration) {
    if (duration.isNegative()) {
      throw new IllegalArgumentException(what + " is not negative: " + duration);
    }
    return duration.toMillis();
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof When when && when.spec.equals(spec);
  }

  @Override
  public int hashCode() {
    return spec.hashCode();
  }

  /** Prints what was set. */
  @Override
  public String toString() {
    return spec.toString();
  }
}
