package io.callboard.sdk.testkit;

import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;

/** The time inside a test: it stands still until the test moves it. */
public final class Clock implements InstantSource {
  private final World world;
  private Instant now = Instant.parse("2026-01-01T00:00:00Z");

  Clock(World world) {
    this.world = world;
  }

  /** The time that actions see. */
  @Override
  public Instant instant() {
    return now;
  }

  void set(Instant to) {
    now = to;
  }

  /**
   * Moves the time, from one event to the next: effects are delivered and timers run when they are due, in order, and an
   * actor that is idle for longer than its idle timeout is deactivated on the way.
   *
   * @param duration how far, not back
   */
  public void advance(Duration duration) {
    if (duration.isNegative()) {
      throw new IllegalArgumentException("time does not go back: " + duration);
    }
    world.advance(now.plus(duration));
  }
}
