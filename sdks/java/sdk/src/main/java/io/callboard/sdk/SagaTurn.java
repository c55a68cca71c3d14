package io.callboard.sdk;

import com.fasterxml.jackson.annotation.JsonInclude;

/**
 * What the coordinator of a {@link Saga} tells itself: the argument of its action.
 *
 * @param saga which saga
 * @param turn which turn of it is to run; 0 if this is a watch
 * @param watch which turn is to be looked after; 0 if this is a turn
 */
@JsonInclude(JsonInclude.Include.NON_DEFAULT)
public record SagaTurn(String saga, int turn, int watch) {}
