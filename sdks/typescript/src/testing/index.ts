/**
 * Testing actors in this process, without a server.
 */
export { VirtualClock } from "./clock.js";
export type { BroadcastMade, CallMade, Effect, NextMade } from "./outbox.js";
export type { StubCall, Stubs } from "./stubs.js";
export type { KitActions, KitCallOptions, KitOf, TestKitOptions } from "./test-kit.js";
export { TestKit } from "./test-kit.js";
