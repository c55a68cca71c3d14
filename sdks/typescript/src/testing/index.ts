/**
 * Testing actors in this process, without a server.
 */
export { VirtualClock } from "./clock.js";
export type { Stubs } from "./stubs.js";
export type { Effect, KitActions, KitCallOptions, KitOf, TestKitOptions } from "./test-kit.js";
export { TestKit } from "./test-kit.js";
