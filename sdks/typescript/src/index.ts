/**
 * Callboard for TypeScript: run actors with `serve`, call them with `connect`, define them without protos with
 * `defineActor`. Generated code builds on "@callboard/sdk/codegenv1", tests on "@callboard/sdk/testing".
 */
export type {
  ActorClass,
  ActorFactory,
  Awaitable,
  Ctx,
  DeepReadonly,
  FencingToken,
  ReadCtx,
  TurnFacts,
} from "./actor.js";
export { Actor, actorOf } from "./actor.js";
export type { AnyActor } from "./binding.js";
export type { ActorTools, DeadLetter, DeadLetters, PastState, PointInHistory, Revision } from "./client/actors.js";
export type { Accepted, ActorSnapshot, ClientOptions, Published, SendOptions, StateOf } from "./client/client.js";
export { Client, connect } from "./client/client.js";
export type { ToolOptions } from "./client/control.js";
export type { OverlapPolicy, Schedule, Schedules, ScheduleSpec, ScheduleTimes } from "./client/schedules.js";
export type {
  ChannelMessage,
  MissedMessages,
  SubscribeOptions,
  SubscriptionItem,
} from "./client/subscription.js";
export type {
  ActionDef,
  ActionMap,
  ActorDef,
  ActorSettings,
  AnyAction,
  ChannelSettings,
  Deliver,
  Durability,
  HistorySettings,
  Kind,
  PoolSettings,
  SettingsFor,
} from "./definition.js";
export { jsonAction } from "./definition.js";
export type { Call, CallsTo, CallTo, Described, ForwardTo, Next } from "./describe.js";
export { to } from "./describe.js";
export type { Duration } from "./duration.js";
export type { ErrorFacts, RetryAdvice } from "./errors.js";
export { ActorError, CallboardError, Code, isCallboardError } from "./errors.js";
export type { HostMode } from "./host/fleet.js";
export type { Host, ServeOptions } from "./host/serve.js";
export { serve } from "./host/serve.js";
export type { ActorAddress, CallOptions, Invoked, Invoker, RefTo } from "./invoker.js";
export { ActorRef } from "./invoker.js";
export type { JsonActor, JsonActorSpec } from "./json-actor.js";
export { defineActor } from "./json-actor.js";
export type { ActorLog, LogFields, Logger, LogLevel } from "./logger.js";
export { silentLogger, stderrLogger } from "./logger.js";
export type { AnyChannel, Channel, HeardOn, SayOn } from "./message-channel.js";
export { defineChannel } from "./message-channel.js";
export type { BroadcastOptions, TellOptions } from "./turn/outputs.js";
export type { SagaProgress, SagaSpec, SagaStatus, SagaStep, SagaTurn } from "./saga.js";
export { defineSaga, Saga } from "./saga.js";
export { SDK_VERSION } from "./version.js";
export type { ServerOptions } from "./wire/channel.js";
