/**
 * What a turn sets going: effects, broadcasts, and what it asks of its actor. It is committed with the turn's state, and
 * none of it happens if the turn does not commit.
 */
import type { Codec } from "../codec.js";
import type { AnyAction } from "../definition.js";
import type { Call, HandOver } from "../describe.js";
import type { Duration } from "../duration.js";
import { toMillis } from "../duration.js";
import { CallboardError, Code } from "../errors.js";
import type { Payload } from "../gen/callboard/type/v1/type_pb.js";
import type { ActorAddress } from "../invoker.js";
import type { AnyChannel } from "../message-channel.js";

/** Settings of an effect. Without a delay and a time it is made as soon as the turn has committed. */
export type TellOptions = {
  /** Text that travels with the call. At most 64 entries and 8 KiB in all. */
  readonly metadata?: Readonly<Record<string, string>>;
} & (
  | {
      /** How long it waits after the commit. */
      readonly delay?: Duration;
      readonly at?: never;
    }
  | {
      readonly delay?: never;
      /** When it is due. */
      readonly at: Date;
    }
);

/** Settings of a broadcast. */
export interface BroadcastOptions {
  /** Text that travels with the message. At most 64 entries and 8 KiB in all. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** A call that is made once the turn has committed. */
export interface EffectOut {
  readonly target: ActorAddress;
  readonly action: AnyAction;
  readonly payload: Payload | undefined;
  /** 0 for none. */
  readonly delayMs: number;
  /** 0 for none. */
  readonly dueAtMs: number;
  readonly metadata: Readonly<Record<string, string>>;
}

/** A message to a channel. */
export interface BroadcastOut {
  readonly channel: string;
  readonly codec: Codec<unknown>;
  readonly payload: Payload | undefined;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Who answers the caller in the actor's place. */
export interface NextOut {
  readonly kind: HandOver["kind"];
  readonly target: ActorAddress;
  readonly action: AnyAction;
}

/** All that a turn set going. */
export interface TurnWorkflow {
  readonly effects: readonly EffectOut[];
  readonly broadcasts: readonly BroadcastOut[];
  readonly next: NextOut | undefined;
  readonly checkpoint: boolean;
  readonly deactivate: boolean;
}

const TRACE_KEYS = ["traceparent", "tracestate"] as const;

/** Collects what a turn sets going. */
export class TurnOutputs {
  readonly #effects: EffectOut[] = [];
  readonly #broadcasts: BroadcastOut[] = [];
  readonly #inherited: Readonly<Record<string, string>>;
  /** Save a snapshot actor with this turn. */
  checkpoint = false;
  /** Take the actor out of memory after it. */
  deactivate = false;

  /** @param inherited The turn's own metadata, for the trace. */
  constructor(inherited: Readonly<Record<string, string>>) {
    this.#inherited = inherited;
  }

  /** Adds an effect. Its argument is encoded at once: what becomes of it later does not count. */
  tell(call: Call, options: TellOptions): void {
    const { delay, at } = options as { delay?: Duration; at?: Date };
    if (delay !== undefined && at !== undefined) {
      throw new CallboardError(
        Code.INVALID_ARGUMENT,
        "INVALID_ARGUMENT",
        "An effect has a delay or a time, not both. Nothing was told; leave one of them out.",
      );
    }
    this.#effects.push({
      target: call.target,
      action: call.action,
      payload: call.action.input.encode(call.argument) as Payload | undefined,
      delayMs: delay === undefined ? 0 : toMillis(delay),
      dueAtMs: at === undefined ? 0 : unixMillis(at),
      metadata: withTrace(options.metadata, this.#inherited),
    });
  }

  /** Adds a broadcast. */
  broadcast(channel: AnyChannel, message: unknown, options: BroadcastOptions): void {
    this.#broadcasts.push({
      channel: channel.name,
      codec: channel.message as Codec<unknown>,
      payload: channel.message.encode(message),
      metadata: withTrace(options.metadata, this.#inherited),
    });
  }

  /** Everything together; undefined if nothing was set going. */
  workflow(next: NextOut | undefined): TurnWorkflow | undefined {
    const { checkpoint, deactivate } = this;
    const effects = this.#effects;
    const broadcasts = this.#broadcasts;
    const nothing = effects.length === 0 && broadcasts.length === 0 && !checkpoint && !deactivate;
    return nothing && next === undefined ? undefined : { effects, broadcasts, next, checkpoint, deactivate };
  }
}

/** A date as Unix milliseconds. @internal */
export function unixMillis(date: Date): number {
  const millis = date.getTime();
  if (!Number.isFinite(millis)) {
    throw new RangeError("An invalid Date names no time.");
  }
  return millis;
}

/** Adds the turn's trace context, so that one trace follows a call from actor to actor. @internal */
export function withTrace(
  own: Readonly<Record<string, string>> | undefined,
  turn: Readonly<Record<string, string>>,
): Record<string, string> {
  const metadata: Record<string, string> = { ...own };
  for (const key of TRACE_KEYS) {
    const value = turn[key];
    if (value !== undefined && metadata[key] === undefined) {
      metadata[key] = value;
    }
  }
  return metadata;
}
