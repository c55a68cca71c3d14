package io.callboard.sdk;

/** Something of a {@link Subscription}: a message, or the news that messages were lost. */
public sealed interface ChannelItem permits ChannelMessage, Missed {}
