/**
 * Call descriptions: a target, an action and an argument, and no call. A turn tells them, pipes and forwards to them; a
 * schedule makes them by the clock.
 */
import type { ActionMap, ActorDef, AnyAction, ArgInitOf, ArgOf, ReplyOf } from "./definition.js";
import type { ActorAddress } from "./invoker.js";

declare const answers: unique symbol;

/** A call that is described and not made. */
export interface Call<Reply = unknown> {
  /** Whom to call. */
  readonly target: ActorAddress;
  /** Which action. */
  readonly action: AnyAction;
  /** With what. */
  readonly argument: unknown;
  /** What the action answers; for the compiler only. */
  readonly [answers]?: () => Reply;
}

/** An action of one actor: call it with an argument for a description, or give it to `ctx.forward` as it is. */
export interface CallTo<A extends AnyAction = AnyAction> {
  /** Describes a call; nothing is called. */
  (...argument: DescribedArgs<A>): Call<ReplyOf<A>>;
  /** Whom to call. */
  readonly target: ActorAddress;
  /** Which action. */
  readonly action: A;
}

/** The argument may be left out where the action takes none, or a message without fields that must be set. */
type DescribedArgs<A> = undefined extends ArgInitOf<A>
  ? [argument?: ArgInitOf<A>]
  : Record<never, never> extends ArgInitOf<A>
    ? [argument?: ArgInitOf<A>]
    : [argument: ArgInitOf<A>];

/** The actions of one actor, as descriptions. */
export type CallsTo<Actions extends ActionMap> = {
  readonly [K in keyof Actions]: CallTo<Actions[K]>;
};

/** Something that describes an actor type: a JSON actor, a generated definition, or a class that has one. */
export type Described<Actions extends ActionMap> =
  | Pick<ActorDef<Actions>, "type" | "actions">
  | { readonly def: Pick<ActorDef<Actions>, "type" | "actions"> };

/**
 * Describes calls of one actor: `to(audit, "main").overflow({ id })`.
 *
 * @param key May be left out for named and pooled types.
 * @param system Default: that of whoever makes the call.
 */
export function to<Actions extends ActionMap>(other: Described<Actions>, key = "", system = ""): CallsTo<Actions> {
  const def = "def" in other ? other.def : other;
  const target: ActorAddress = { system, type: def.type, key };
  const calls: Record<string, unknown> = {};
  for (const [name, action] of Object.entries(def.actions)) {
    const describe = (argument?: unknown): Call => ({ target, action, argument });
    calls[name] = Object.assign(describe, { target, action });
  }
  return calls as CallsTo<Actions>;
}

declare const answersFor: unique symbol;

/**
 * What an action returns that leaves its answer to another actor; made by `ctx.pipe` and `ctx.forward`. `Arg` is what the
 * other actor can take of this action's own argument, `Reply` what it answers.
 */
export interface Next<in Arg, out Reply> {
  /** For the compiler only. */
  readonly [answersFor]: (argument: Arg) => Reply;
}

/** Forwards to an action: it takes this one's argument, and its reply is the caller's. */
export type ForwardTo<A extends AnyAction> = Next<ArgOf<A>, ReplyOf<A>>;

/** A pipe or a forward, as the code that runs turns sees it. @internal */
export class HandOver {
  /** The value for the next actor; undefined for a forward. */
  readonly call: Call;
  readonly kind: "pipe" | "forward";

  constructor(kind: "pipe" | "forward", call: Call) {
    this.kind = kind;
    this.call = call;
  }
}
