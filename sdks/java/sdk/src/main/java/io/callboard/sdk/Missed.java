package io.callboard.sdk;

/**
 * Messages were lost to this subscriber, because it was too slow or away for too long.
 *
 * @param messages how many; 0 if that is not known
 */
public record Missed(long messages) implements ChannelItem {}
