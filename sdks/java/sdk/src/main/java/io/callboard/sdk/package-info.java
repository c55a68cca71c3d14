/**
 * Callboard for Java: write actors, serve them, call them.
 *
 * <p>An actor is a class that extends the abstract class which {@code callboard gen} makes from a proto service, or a
 * {@link io.callboard.sdk.JsonActor} put together from lambdas and records. A {@link io.callboard.sdk.Host} runs
 * actors for a Callboard node; a {@link io.callboard.sdk.Client} calls them;
 * {@link io.callboard.sdk.testkit.TestKit} runs one actor inside a unit test, without either.
 */
package io.callboard.sdk;
