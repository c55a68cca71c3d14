/**
 * Calling actors. A client and the context of a turn both are `Invoker`s, so the same typed references work from outside
 * and from inside an actor.
 */
import type { Duration } from "./duration.js";
import type { ActionMap, ActorDef, AnyAction, ArgInitOf, ReplyOf } from "./definition.js";

/** Names one actor. */
export interface ActorAddress {
  /** The system; "default" unless said otherwise. */
  readonly system: string;
  /** The actor type. */
  readonly type: string;
  /** The key within the type. For a named type it is the type's name. */
  readonly key: string;
}

/** Settings of one call. */
export interface CallOptions {
  /** How long to wait for the reply, retries included. Default: the client's, or inside a turn the turn's. */
  readonly timeout?: Duration;
  /**
   * Identifies the logical call, 1 to 128 bytes: two calls of one actor with the same key are applied once. Without it
   * each call gets an id of its own, which its retries share. Not inside a turn, where ids follow from the turn's.
   */
  readonly idempotencyKey?: string;
  /** Text that travels with the call. At most 64 entries and 8 KiB in all. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Gives up waiting when it is aborted. The action may have run all the same. */
  readonly signal?: AbortSignal;
  /**
   * False to make one attempt only. Default true: errors that allow it are retried, under the same id. Inside a turn the
   * server takes care of it.
   */
  readonly retry?: boolean;
}

/** What came of a call. */
export interface Invoked<Reply> {
  /** What the action answered. */
  readonly reply: Reply;
  /** The request id that the call ran under. */
  readonly requestId: string;
  /** The revision of the state that the reply stands on; 0 where there is none, and inside a turn. */
  readonly revision: bigint;
  /** True if the effect is committed. */
  readonly durable: boolean;
}

/** Something that can call actors. */
export interface Invoker {
  /** The system that references belong to. */
  readonly system: string;
  /**
   * Calls one action and waits for its reply.
   *
   * @throws ActorError if the actor's code refused, CallboardError if the call could not be brought to an end.
   */
  invoke<A extends AnyAction>(
    target: ActorAddress,
    action: A,
    argument: ArgInitOf<A>,
    options?: CallOptions,
  ): Promise<Invoked<ReplyOf<A>>>;
}

/** A reference to one actor. Generated references extend it with a method for each action. */
export class ActorRef {
  /** The actor. */
  readonly $id: ActorAddress;
  readonly #invoker: Invoker;

  constructor(invoker: Invoker, id: ActorAddress) {
    this.#invoker = invoker;
    this.$id = id;
  }

  /** Calls one action; the methods of generated references end here. */
  async $call<A extends AnyAction>(
    action: A,
    argument: ArgInitOf<A>,
    options?: CallOptions,
  ): Promise<ReplyOf<A>> {
    return (await this.#invoker.invoke(this.$id, action, argument, options)).reply;
  }
}

/** The arguments of a reference's method: the argument may be left out where the action takes none. */
export type CallArgs<A> = undefined extends ArgInitOf<A>
  ? [argument?: ArgInitOf<A>, options?: CallOptions]
  : [argument: ArgInitOf<A>, options?: CallOptions];

/** The methods that a reference has for the actions of a type. */
export type RefMethods<Actions extends ActionMap> = {
  readonly [K in keyof Actions]: (...args: CallArgs<Actions[K]>) => Promise<ReplyOf<Actions[K]>>;
};

/** A reference to an actor of a type. */
export type RefTo<Actions extends ActionMap> = ActorRef & RefMethods<Actions>;

/** Makes a reference with a method for each action of the type. */
export function refTo<Actions extends ActionMap>(
  invoker: Invoker,
  def: Pick<ActorDef<Actions>, "type" | "actions">,
  key: string,
): RefTo<Actions> {
  const ref = new ActorRef(invoker, { system: invoker.system, type: def.type, key });
  const methods: Record<string, unknown> = {};
  for (const [name, action] of Object.entries(def.actions)) {
    methods[name] = (argument: never, options?: CallOptions) => ref.$call(action, argument, options);
  }
  return Object.assign(ref, methods) as RefTo<Actions>;
}

