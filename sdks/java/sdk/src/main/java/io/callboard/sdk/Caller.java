package io.callboard.sdk;

import java.util.concurrent.CompletableFuture;

/**
 * Whatever can call actors: a {@link Client} from outside, a context inside a turn, a test kit in a test. Generated
 * clients work with any of them.
 */
public interface Caller {
  /**
   * Calls an action.
   *
   * @param target whom to call
   * @param action which action
   * @param argument its argument
   * @param options how to call
   * @param <I> the type of the argument
   * @param <O> the type of the reply
   * @return completes with the reply, or exceptionally with a {@link CallException}
   */
  <I, O> CompletableFuture<O> callAsync(ActorId target, Action<I, O> action, I argument, CallOptions options);

  /**
   * Calls an action with default options.
   *
   * @param target whom to call
   * @param action which action
   * @param argument its argument
   * @param <I> the type of the argument
   * @param <O> the type of the reply
   * @return completes with the reply, or exceptionally with a {@link CallException}
   */
  default <I, O> CompletableFuture<O> callAsync(ActorId target, Action<I, O> action, I argument) {
    return callAsync(target, action, argument, CallOptions.DEFAULT);
  }

  /**
   * Calls an action and waits for its reply.
   *
   * @param target whom to call
   * @param action which action
   * @param argument its argument
   * @param options how to call
   * @param <I> the type of the argument
   * @param <O> the type of the reply
   * @return the reply
   * @throws CallException if there is none
   */
  <I, O> O call(ActorId target, Action<I, O> action, I argument, CallOptions options);

  /**
   * Calls an action with default options and waits for its reply.
   *
   * @param target whom to call
   * @param action which action
   * @param argument its argument
   * @param <I> the type of the argument
   * @param <O> the type of the reply
   * @return the reply
   * @throws CallException if there is none
   */
  default <I, O> O call(ActorId target, Action<I, O> action, I argument) {
    return call(target, action, argument, CallOptions.DEFAULT);
  }
}
