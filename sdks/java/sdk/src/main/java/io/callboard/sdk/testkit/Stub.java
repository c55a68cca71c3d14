package io.callboard.sdk.testkit;

/**
 * Stands for another actor.
 *
 * @param <I> the type of the argument
 * @param <O> the type of the reply
 */
@FunctionalInterface
public interface Stub<I, O> {
  /**
   * Answers a call.
   *
   * @param key the key of the actor that is called
   * @param argument the argument
   * @return the reply
   * @throws Exception an ActorError to answer with it
   */
  O answer(String key, I argument) throws Exception;
}
