package io.callboard.sdk.internal;

import io.callboard.host.v1.Turn;
import io.callboard.sdk.ActorId;
import java.time.Instant;
import java.time.InstantSource;
import java.util.Map;
import java.util.concurrent.Executor;

/**
 * What one turn runs on, apart from the state.
 *
 * @param self the actor
 * @param turn the turn as the node sent it
 * @param epoch the epoch of the actor's shard
 * @param tags the tags before the turn
 * @param deadline when the turn must be over
 * @param clock tells the time to the action
 * @param token cancels the turn
 * @param calls carries the turn's calls
 * @param executor runs the action's continuations
 */
public record TurnInput(
    ActorId self,
    Turn turn,
    long epoch,
    Map<String, String> tags,
    Instant deadline,
    InstantSource clock,
    TurnToken token,
    CallPort calls,
    Executor executor) {}
