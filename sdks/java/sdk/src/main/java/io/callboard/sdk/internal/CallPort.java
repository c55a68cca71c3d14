package io.callboard.sdk.internal;

import io.callboard.sdk.ActorId;
import io.callboard.type.v1.Payload;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.CompletableFuture;

/** Carries the calls that a turn makes: over the session in a host, to the stubs in a test kit. */
@FunctionalInterface
public interface CallPort {
  /**
   * One call of a turn.
   *
   * @param index the call's number within the turn, from 0
   * @param target whom to call, system included
   * @param action which action
   * @param argument its argument, encoded
   * @param timeout how long to wait; zero for as long as the turn may take
   * @param metadata text that travels with the call
   * @param requestId the call's own request id; empty for one that follows from the turn's
   */
  record TurnCallOut(
      int index,
      ActorId target,
      String action,
      Payload argument,
      Duration timeout,
      Map<String, String> metadata,
      String requestId) {}

  /**
   * Makes a call. The future may complete on any thread, so nothing of the user's may hang on it directly.
   *
   * @param call the call
   * @return completes with the encoded reply, or exceptionally with a CallException or CancellationException
   */
  CompletableFuture<Payload> call(TurnCallOut call);
}
