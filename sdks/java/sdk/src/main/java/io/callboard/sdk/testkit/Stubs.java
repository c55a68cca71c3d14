package io.callboard.sdk.testkit;

import io.callboard.sdk.Action;
import io.callboard.type.v1.Payload;
import java.util.HashMap;
import java.util.Map;

/** The other actors of a test. */
final class Stubs {
  private interface Answer {
    Payload answer(String key, Payload argument) throws Exception;
  }

  private final Map<String, Answer> answers = new HashMap<>();
  private AssertionError missing;

  <I, O> void put(String type, Action<I, O> action, Stub<I, O> stub) {
    answers.put(
        type + " " + action.name(),
        (key, argument) -> action.output().encode(stub.answer(key, action.input().decode(argument))));
  }

  boolean has(Effect call) {
    return answers.containsKey(call.target().type() + " " + call.action());
  }

  Payload answer(Effect call) throws Exception {
    Answer answer = answers.get(call.target().type() + " " + call.action());
    if (answer == null) {
      missing =
          new AssertionError(
              "the actor called " + call.target() + " " + call.action() + ", which no stub answers: use stub("
                  + call.target().type() + ", " + call.action() + ", ...)");
      throw missing;
    }
    return answer.answer(call.target().key(), call.argument());
  }

  /** A forgotten stub fails the test, whatever the action makes of it. */
  void throwMissing() {
    if (missing != null) {
      AssertionError error = missing;
      missing = null;
      throw error;
    }
  }
}
