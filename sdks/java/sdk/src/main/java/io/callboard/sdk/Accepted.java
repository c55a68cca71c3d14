package io.callboard.sdk;

import java.util.Optional;

/**
 * Says that a call was accepted and will run.
 *
 * @param requestId the request id that it runs under
 * @param durable true if the acceptance is committed and survives any crash, false if it is only in memory
 * @param schedule the one-shot schedule that will make the call; empty if it is made at once
 */
public record Accepted(String requestId, boolean durable, Optional<String> schedule) {}
