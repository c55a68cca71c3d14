/**
 * What generated code builds on. The name carries a version: code that was generated once keeps working with later
 * releases of the SDK, because a change that it could not bear comes under a new name.
 */
export type { Awaitable, Ctx, ReadCtx } from "./actor.js";
export { Actor } from "./actor.js";
export type { ActorDef, SettingsFor } from "./definition.js";
export { protobufAction } from "./definition.js";
export type { Next } from "./describe.js";
export type { CallOptions, Invoker } from "./invoker.js";
export { ActorRef } from "./invoker.js";
