package io.callboard.examples.incrementor;

import io.callboard.sdk.Host;

/** Serves the counter to the node at CALLBOARD_SERVER, until a signal ends it. */
public final class Main {
  private Main() {}

  /**
   * Runs the host.
   *
   * @param arguments none
   */
  public static void main(String[] arguments) {
    Host.builder().actor(Incrementor::new).start().awaitShutdown();
  }
}
