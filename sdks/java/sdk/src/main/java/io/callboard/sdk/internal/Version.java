package io.callboard.sdk.internal;

/** Which SDK this is and what it speaks. */
public final class Version {
  /** The SDK's version. */
  public static final String SDK = "0.1.0";

  /** The protocol's major version. */
  public static final int PROTOCOL_MAJOR = 1;

  /** The protocol's minor version. */
  public static final int PROTOCOL_MINOR = 0;

  private Version() {}
}
