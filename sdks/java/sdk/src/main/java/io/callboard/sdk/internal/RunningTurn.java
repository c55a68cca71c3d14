package io.callboard.sdk.internal;

import io.callboard.host.v1.Turn;
import io.callboard.type.v1.Payload;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;

/** A turn from its arrival to its answer, with the calls that it waits for. Safe for any thread. */
final class RunningTurn {
  private final Turn turn;
  private final TurnToken token;
  private Map<Integer, CompletableFuture<Payload>> calls;
  private RuntimeException aborted;

  RunningTurn(Turn turn, Executor callbackRunner) {
    this.turn = turn;
    this.token = new TurnToken(callbackRunner);
  }

  Turn turn() {
    return turn;
  }

  TurnToken token() {
    return token;
  }

  /** Expects the reply of a call. Fails it at once if the turn is aborted. */
  CompletableFuture<Payload> expect(int index) {
    CompletableFuture<Payload> reply = new CompletableFuture<>();
    RuntimeException failure;
    synchronized (this) {
      failure = aborted;
      if (failure == null) {
        if (calls == null) {
          calls = new HashMap<>();
        }
        calls.put(index, reply);
      }
    }
    if (failure != null) {
      reply.completeExceptionally(failure);
    }
    return reply;
  }

  /** The expected reply of a call, which is then not expected any more; null if it is not. */
  synchronized CompletableFuture<Payload> arrived(int index) {
    return calls == null ? null : calls.remove(index);
  }

  /** Cancels the turn and fails the calls that it waits for. */
  void abort(RuntimeException failure) {
    List<CompletableFuture<Payload>> waiting = List.of();
    synchronized (this) {
      aborted = failure;
      if (calls != null) {
        waiting = new ArrayList<>(calls.values());
        calls = null;
      }
    }
    token.cancel();
    waiting.forEach(reply -> reply.completeExceptionally(failure));
  }
}
