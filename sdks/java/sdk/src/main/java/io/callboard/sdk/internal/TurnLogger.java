package io.callboard.sdk.internal;

import java.util.ResourceBundle;

/** A logger whose lines begin with actor, action and request id. Cheap: one is made whenever an action asks. */
final class TurnLogger implements System.Logger {
  private static final System.Logger BASE = System.getLogger("io.callboard.actor");

  private final TurnInput input;

  TurnLogger(TurnInput input) {
    this.input = input;
  }

  @Override
  public String getName() {
    return BASE.getName();
  }

  @Override
  public boolean isLoggable(Level level) {
    return BASE.isLoggable(level);
  }

  @Override
  public void log(Level level, ResourceBundle bundle, String message, Throwable thrown) {
    if (BASE.isLoggable(level)) {
      BASE.log(level, prefix() + message, thrown);
    }
  }

  @Override
  public void log(Level level, ResourceBundle bundle, String format, Object... params) {
    if (BASE.isLoggable(level)) {
      boolean plain = params == null || params.length == 0;
      BASE.log(level, prefix() + (plain ? format : java.text.MessageFormat.format(format, params)));
    }
  }

  private String prefix() {
    return "[" + input.self() + " " + input.turn().getAction() + " " + input.turn().getRequestId() + "] ";
  }
}
