package io.callboard.sdk.internal;

import io.grpc.MethodDescriptor;

/** Asks a node something that may be asked again, and waits for the answer. */
@FunctionalInterface
public interface Queries {
  /**
   * Asks, with the client's timeout.
   *
   * @param method the method
   * @param request the request
   * @param <Q> the request's type
   * @param <P> the response's type
   * @return the response
   * @throws io.callboard.sdk.CallException if there is none
   */
  <Q, P> P ask(MethodDescriptor<Q, P> method, Q request);
}
