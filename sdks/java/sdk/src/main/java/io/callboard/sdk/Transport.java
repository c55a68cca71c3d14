package io.callboard.sdk;

/** How a client sends its calls. */
public enum Transport {
  /** All calls over one stream: the cheapest way by far. */
  STREAM,
  /** One request for each call, for networks that do not let streams live. */
  UNARY
}
