/**
 * What the author of an actor works with: the context of a turn and the base class of generated actors.
 */
import type { ActorLog } from "./logger.js";
import type { ActionMap, ActorDef, ActorSettings, AnyAction, SettingsFor } from "./definition.js";
import type { Call, CallTo, ForwardTo, Next } from "./describe.js";
import type { ActorAddress, Invoker, RefTo } from "./invoker.js";
import type { AnyChannel, SayOn } from "./message-channel.js";
import type { BroadcastOptions, TellOptions } from "./turn/outputs.js";

/** A value, or a promise of it. */
export type Awaitable<T> = T | PromiseLike<T>;

/** A type with everything in it made read-only. */
export type DeepReadonly<T> = T extends
  | string
  | number
  | bigint
  | boolean
  | null
  | undefined
  | symbol
  | Date
  | Uint8Array
  | ((...args: never[]) => unknown)
  ? T
  : T extends ReadonlyMap<infer K, infer V>
    ? ReadonlyMap<DeepReadonly<K>, DeepReadonly<V>>
    : T extends ReadonlySet<infer V>
      ? ReadonlySet<DeepReadonly<V>>
      : { readonly [K in keyof T]: DeepReadonly<T[K]> };

/** Orders the effects that an actor has outside Callboard: a later turn has a greater pair. */
export interface FencingToken {
  /** Raised each time the actor's shard changes owner. */
  readonly epoch: bigint;
  /** The revision that the actor has if this turn commits. */
  readonly revision: bigint;
}

/** What every turn knows about itself. */
export interface TurnFacts extends Invoker {
  /** The actor whose turn this is. */
  readonly self: ActorAddress;
  /** The action's name on the wire. */
  readonly action: string;
  /** The actor that made the call; undefined for calls from outside. */
  readonly caller: ActorAddress | undefined;
  /** The caller's metadata. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Identifies the logical call; the same on each of its retries and attempts. */
  readonly requestId: string;
  /** The same as `requestId`, under the name that other systems know. */
  readonly idempotencyKey: string;
  /** When the logical call was first made, by the caller's clock. */
  readonly createdAt: Date;
  /** How often this call has been handed to a host, counted from 1. */
  readonly attempt: number;
  /** A fencing token for effects outside Callboard, which may happen more than once. */
  readonly fencingToken: FencingToken;
  /** When the turn must have ended. */
  readonly deadline: Date;
  /** Aborted when nobody waits for the turn any longer, its time is over or the host lost its session. */
  readonly signal: AbortSignal;
  /** Writes log lines that carry actor, action and request id. */
  readonly log: ActorLog;
  /** The time. Use it instead of `new Date()`: the test kit can move it. */
  now(): Date;
  /**
   * A reference for calling another actor inside this turn. The call has an id that follows from the turn's, so that a
   * turn that is run again does not apply it twice.
   */
  ref<Actions extends ActionMap>(def: Pick<ActorDef<Actions>, "type" | "actions">, key?: string): RefTo<Actions>;
}

/** The context of an action that may change state. */
export interface Ctx<State> extends TurnFacts {
  /**
   * The actor's state. Change it in place or assign it: it is committed when the action returns and discarded when it
   * throws.
   */
  state: State;
  /** The actor's tags. Change them in place or assign them; they are committed and discarded with the state. */
  tags: Record<string, string>;
  /**
   * Makes a call once the turn has committed, without waiting for it: `ctx.tell(to(audit, "main").overflow({ id }))`.
   * Nothing is called if the action throws.
   */
  tell(call: Call, options?: TellOptions): void;
  /** Says something to everybody who listens to a channel, once the turn has committed. */
  broadcast<const C extends string | AnyChannel>(channel: C, message: SayOn<C>, options?: BroadcastOptions): void;
  /**
   * Leaves the answer to another actor, which gets the described argument: `return ctx.pipe(to(next, "k").grow(size))`.
   * What it answers is what this action's caller gets. Counts only if it is returned.
   */
  pipe<Reply>(call: Call<Reply>): Next<unknown, Reply>;
  /**
   * Leaves the answer to another actor, which gets this action's own argument as it came:
   * `return ctx.forward(to(next, "k").grow)`. Counts only if it is returned.
   */
  forward<A extends AnyAction>(action: CallTo<A>): ForwardTo<A>;
  /** Saves a snapshot actor with this turn, not only at its interval. */
  checkpoint(): void;
  /** Takes the actor out of memory when this turn has committed and nothing else waits. */
  deactivate(): void;
}

/** The context of an action that only reads. */
export interface ReadCtx<State> extends TurnFacts {
  /** The actor's state. */
  readonly state: DeepReadonly<State>;
  /** The actor's tags. */
  readonly tags: Readonly<Record<string, string>>;
}

/**
 * The base of generated actor classes. An object of the class lives for one turn: what must last belongs into
 * `ctx.state`, what turns share (a connection pool, say) is given to the constructor.
 */
export abstract class Actor<StateInit> {
  /** The state of an actor that has none yet. */
  abstract initial(): StateInit;
}

/** A class of actors that a host can run. */
export interface ActorClass<Def extends ActorDef = ActorDef> {
  new (): Actor<unknown>;
  /** What the class implements. */
  readonly def: Def;
  /** Settings that go before those of `def`, in the names of its methods. */
  readonly settings?: ActorSettings;
}

/** A class of actors whose constructor needs something. */
export interface ActorFactory<Def extends ActorDef = ActorDef> {
  /** What the actors implement. */
  readonly def: Def;
  /** Settings that go before those of `def`, in the names of its methods. */
  readonly settings?: ActorSettings;
  /** Makes the object for one turn. Must be cheap. */
  readonly create: () => Actor<unknown>;
}

/** Registers a class whose constructor needs something: `actorOf(Shop.def, () => new Shop(database))`. */
export function actorOf<Def extends ActorDef>(
  def: Def,
  create: () => Actor<unknown>,
  settings: SettingsFor<Def> = {},
): ActorFactory<Def> {
  return { def, create, settings };
}
