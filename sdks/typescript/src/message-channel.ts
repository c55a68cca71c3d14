/**
 * Channels by name, with the type of what is said on them.
 */
import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";

import type { Codec } from "./codec.js";
import { jsonCodec, protobufCodec } from "./codec.js";

/** A channel whose messages have a type. `Init` is what may be said, `Value` what is heard. */
export interface Channel<Value = unknown, Init = Value> {
  /** Its name within the system. */
  readonly name: string;
  /** How messages travel. */
  readonly message: Codec<Value, Init>;
}

/** Any channel, whatever its type. */
export type AnyChannel = Channel<any, any>;

/** Describes a channel on which JSON is said: `defineChannel<RoomMessage>("rooms")`. */
export function defineChannel<T>(name: string): Channel<T>;
/** Describes a channel on which messages of one protobuf type are said. */
export function defineChannel<S extends DescMessage>(
  name: string,
  schema: S,
): Channel<MessageShape<S>, MessageInitShape<S>>;
export function defineChannel(name: string, schema?: DescMessage): AnyChannel {
  return { name, message: schema === undefined ? jsonCodec() : protobufCodec(schema) };
}

/** What may be said on a channel; a channel that is only named takes JSON. */
export type SayOn<C> = C extends Channel<infer _Value, infer Init> ? Init : unknown;

/** What is heard on a channel. */
export type HeardOn<C> = C extends Channel<infer Value, infer _Init> ? Value : unknown;

/** The channel itself, where only its name was given. @internal */
export function channelOf(channel: string | AnyChannel): AnyChannel {
  return typeof channel === "string" ? defineChannel<unknown>(channel) : channel;
}
