package io.callboard.sdk;

/**
 * Says that a call was accepted and will run.
 *
 * @param requestId the request id that it runs under
 * @param durable true if the acceptance is committed and survives any crash, false if it is only in memory
 */
public record Accepted(String requestId, boolean durable) {}
