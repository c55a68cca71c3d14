package io.callboard.sdk;

/**
 * Says that a message was said on a channel.
 *
 * @param requestId the request id that it was said under
 * @param types how many actor types listen to the channel
 */
public record Published(String requestId, int types) {}
