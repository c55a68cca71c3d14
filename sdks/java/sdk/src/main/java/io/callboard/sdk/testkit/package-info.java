/** Runs an actor inside a unit test: no server, no network, a clock that the test moves. */
package io.callboard.sdk.testkit;
