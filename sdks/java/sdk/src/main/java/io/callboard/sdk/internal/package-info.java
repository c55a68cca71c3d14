/**
 * The machinery behind the public packages: host sessions, the client's transports, the execution of turns.
 *
 * <p>Public only because the packages of the SDK share it. Nothing here is an API; it changes without notice.
 */
package io.callboard.sdk.internal;
