package io.callboard.conformance;

/** The program that the conformance suite plays with: a host, or a client if CALLBOARD_CONFORMANCE says so. */
public final class Main {
  private Main() {}

  /**
   * Runs the host or the client.
   *
   * @param arguments none
   * @throws Exception if it cannot go on; the process then ends with a code other than 0
   */
  public static void main(String[] arguments) throws Exception {
    if ("client".equals(System.getenv("CALLBOARD_CONFORMANCE"))) {
      ClientProgram.run();
    } else {
      HostProgram.run();
    }
  }
}
