/**
 * Descriptions of actor types: what generated code and `defineActor` produce, and what clients, hosts and the test kit
 * read. Plain data with types attached, so that no action is ever named by a loose string.
 */
import type {
  DescMessage,
  DescService,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";

import type { Codec } from "./codec.js";
import { jsonCodec, protobufCodec } from "./codec.js";
import type { Duration } from "./duration.js";

/** What kind of life the actors of a type lead: exactly one, or one per key. */
export type Kind = "named" | "unnamed";

/** What happens to their state: committed before each reply, saved on an interval, or never saved. */
export type Durability = "durable" | "snapshot" | "volatile";

/**
 * Which actors of a type get what is said on a channel: those in memory, at most once; or every actor with a stored state,
 * and the one of a named type in any case, exactly once.
 */
export type Deliver = "active" | "every";

/** How the actors of a type hear of a channel. */
export interface ChannelSettings<Names extends string = string> {
  /** The action that gets the message. Default "receive". */
  readonly action?: Names;
  /** Default "every" for named types and "active" for others. */
  readonly deliver?: Deliver;
}

/** How many instances of a pooled type there are in the whole cluster. */
export interface PoolSettings {
  /** Those that are always in memory. Default 0. */
  readonly min?: number;
  /** Those that run at a time, at most. Default 16. */
  readonly max?: number;
}

/** Which committed states of an actor are kept, to be read and restored. */
export interface HistorySettings {
  /** How many. */
  readonly revisions?: number;
  /** For how long. */
  readonly age?: Duration;
}

/** Settings of an actor type, whose actions have these names. Unset ones have the server's default. */
export interface ActorSettings<Names extends string = string> {
  /** Actions that an actor runs at an interval while it is in memory. They get no argument. */
  readonly timers?: { readonly [K in Names]?: Duration };
  /** Channels that the actors hear, and the action that gets the messages of each. */
  readonly channels?: Readonly<Record<string, Names | ChannelSettings<Names>>>;
  /** Makes it a pooled type: no state, no key, many at once. In place of `kind` and `durability`. */
  readonly pooled?: PoolSettings;
  /** Default: no past states are kept. */
  readonly history?: HistorySettings;
  /** Default "unnamed". */
  readonly kind?: Kind;
  /** Default "durable". */
  readonly durability?: Durability;
  /** How long an actor may stay without a call before it is deactivated. Default 60 s. */
  readonly idleTimeout?: Duration;
  /** How often a snapshot actor is saved. Default 10 s. */
  readonly snapshotInterval?: Duration;
  /** How long one turn may take. Default 30 s. */
  readonly turnTimeout?: Duration;
  /** How many calls may wait for one actor. Default 1,000. */
  readonly mailboxLimit?: number;
  /** How many shards the keys are spread over. Only the first registration counts. Default 64. */
  readonly shards?: number;
  /** True to keep actions from running on state that is not yet committed. */
  readonly speculationOff?: boolean;
}

/**
 * One action: its name on the wire and how its values travel. `Arg` and `Reply` are what the reader of a value gets,
 * `ArgInit` and `ReplyInit` what its writer may give.
 */
export interface ActionDef<Arg = unknown, ArgInit = Arg, Reply = unknown, ReplyInit = Reply> {
  /** The name, exactly as on the wire. */
  readonly name: string;
  /** True if the action never changes state. */
  readonly readOnly: boolean;
  /** True if it must not run on state that is not yet committed. */
  readonly speculationOff: boolean;
  /** How the argument travels. */
  readonly input: Codec<Arg, ArgInit>;
  /** How the reply travels. */
  readonly output: Codec<Reply, ReplyInit>;
}

/** Any action, whatever its types. */
export type AnyAction = ActionDef<any, any, any, any>;

/** The actions of a type, by the name that TypeScript code uses. */
export type ActionMap = Readonly<Record<string, AnyAction>>;

/** An actor type as callers need to know it. */
export interface ActorDef<Actions extends ActionMap = ActionMap> {
  /** The type's name. */
  readonly type: string;
  /** Its actions, by the name that TypeScript code uses. */
  readonly actions: Actions;
  /** Its settings. */
  readonly settings?: ActorSettings;
  /** Its protobuf service, if it has one. */
  readonly service?: DescService;
  /** The message that holds the state; JSON if unset. */
  readonly state?: DescMessage;
}

/** Settings of the actors that a definition describes. */
export type SettingsFor<Def extends ActorDef> = ActorSettings<keyof Def["actions"] & string>;

/** What an action takes from a caller. */
export type ArgInitOf<A> = A extends ActionDef<infer _Arg, infer Init, infer _R, infer _RI> ? Init : never;
/** What an action answers to a caller. */
export type ReplyOf<A> = A extends ActionDef<infer _Arg, infer _Init, infer Reply, infer _RI> ? Reply : never;

/** What an action's implementation gets. */
export type ArgOf<A> = A extends ActionDef<infer Arg, infer _Init, infer _R, infer _RI> ? Arg : never;
/** What an action's implementation may answer. */
export type ReplyInitOf<A> = A extends ActionDef<infer _Arg, infer _Init, infer _R, infer Init> ? Init : never;

/** Marks of an action. */
export interface ActionMarks {
  /** True if the action never changes state. */
  readonly readOnly?: boolean;
  /** True if it must not run on state that is not yet committed. */
  readonly speculationOff?: boolean;
}

/** An action whose argument and reply are protobuf messages. */
export type ProtobufAction<I extends DescMessage, O extends DescMessage> = ActionDef<
  MessageShape<I>,
  MessageInitShape<I>,
  MessageShape<O>,
  MessageInitShape<O>
>;

/** Describes an action whose argument and reply are protobuf messages. Generated code calls it. */
export function protobufAction<I extends DescMessage, O extends DescMessage>(
  name: string,
  input: I,
  output: O,
  marks: ActionMarks = {},
): ProtobufAction<I, O> {
  return {
    name,
    readOnly: marks.readOnly ?? false,
    speculationOff: marks.speculationOff ?? false,
    input: protobufCodec(input),
    output: protobufCodec(output),
  };
}

/** Describes an action that speaks JSON, for callers that do not have the actor's code. */
export function jsonAction<Arg = void, Reply = void>(
  name: string,
  marks: ActionMarks = {},
): ActionDef<Arg, Arg, Reply, Reply> {
  return {
    name,
    readOnly: marks.readOnly ?? false,
    speculationOff: marks.speculationOff ?? false,
    input: jsonCodec<Arg>(),
    output: jsonCodec<Reply>(),
  };
}
