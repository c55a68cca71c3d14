package io.callboard.sdk.testkit;

import io.callboard.sdk.CallException;

/**
 * An effect, message or timer whose turn failed.
 *
 * @param effect what was delivered
 * @param error how its turn ended
 */
public record Undelivered(Effect effect, CallException error) {}
