package io.callboard.sdk.testkit;

import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;

/** The time inside a test: it stands still until the test moves it. */
public final class Clock implements InstantSource {
  private final TestKit<?> kit;
  private Instant now = Instant.parse("2026-01-01T00:00:00Z");

  Clock(TestKit<?> kit) {
    this.kit = kit;
  }

  /** The time that actions see. */
  @Override
  public Instant instant() {
    return now;
  }

  /**
   * Moves the time. An actor that is idle for longer than its idle timeout is deactivated on the way.
   *
   * @param duration how far, not back
   */
  public void advance(Duration duration) {
    if (duration.isNegative()) {
      throw new IllegalArgumentException("time does not go back: " + duration);
    }
    now = now.plus(duration);
    kit.timePassed();
  }
}
