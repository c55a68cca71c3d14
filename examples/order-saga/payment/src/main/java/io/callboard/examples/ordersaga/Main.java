package io.callboard.examples.ordersaga;

import io.callboard.sdk.Host;

/** Serves payments to the node at CALLBOARD_SERVER, until a signal ends it. */
public final class Main {
  private Main() {}

  /**
   * Runs the host.
   *
   * @param arguments none
   */
  public static void main(String[] arguments) {
    Host.builder().actor(Payment.ACTOR).start().awaitShutdown();
  }
}
