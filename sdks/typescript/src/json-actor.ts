/**
 * Actors without any proto: state, arguments and replies are JSON, and the actions are plain functions.
 */
import type { Awaitable, Ctx, ReadCtx } from "./actor.js";
import { checkSettings } from "./binding.js";
import type { ActionDef, ActorDef, ActorSettings } from "./definition.js";
import { jsonAction } from "./definition.js";
import type { Next } from "./describe.js";

// `any` stands for "whatever the author wrote": the argument's type is read from the function itself.
type Handler<Context> = (ctx: Context, argument: any) => unknown;

/** The functions of a JSON actor, by action name. */
export type Handlers<Context> = Record<string, Handler<Context>>;

type ArgumentOf<H> = H extends (ctx: never, ...rest: infer Rest) => unknown
  ? Rest extends []
    ? void
    : Rest[0]
  : never;
type AnswerOf<H> = H extends (...args: never[]) => infer R ? Answered<Awaited<R>> : never;
/** What the caller gets: the other actor's answer, where the action leaves it to one. */
type Answered<R> = R extends Next<never, infer Reply> ? Reply : R;
/** What the actors take to which an action forwards. */
type ForwardedOf<H> = H extends (...args: never[]) => infer R
  ? Awaited<R> extends infer Answer
    ? Answer extends Next<infer Arg, unknown>
      ? Arg
      : never
    : never
  : never;
/** Refuses actions that forward to another one which takes something else. */
type Fitting<Actions> = {
  readonly [K in keyof Actions]: [ForwardedOf<Actions[K]>] extends [never]
    ? unknown
    : ArgumentOf<Actions[K]> extends ForwardedOf<Actions[K]>
      ? unknown
      : { readonly "it forwards to an action that takes another argument": ForwardedOf<Actions[K]> };
};
type Action<H> = ActionDef<ArgumentOf<H>, ArgumentOf<H>, AnswerOf<H>, AnswerOf<H>>;

/** The actions of a JSON actor, as callers see them. */
export type JsonActions<Actions, Reads> = {
  readonly [K in keyof Actions | keyof Reads]: K extends keyof Actions
    ? Action<Actions[K]>
    : K extends keyof Reads
      ? Action<Reads[K]>
      : never;
};

/** The names of a type's actions. Any text while the compiler has not read the functions yet: it checks twice. */
type NameIn<Actions, Reads> = [keyof Actions | keyof Reads] extends [never]
  ? string
  : Extract<keyof Actions | keyof Reads, string>;

/** What `defineActor` takes. Write `initial` before the functions, so that their context knows the state's type. */
export interface JsonActorSpec<State, Actions, Reads>
  extends ActorSettings<NameIn<NoInfer<Actions>, NoInfer<Reads>>> {
  /** The type's name. */
  readonly type: string;
  /** The state of an actor that has none yet. Types without state, pooled ones, leave it out. */
  readonly initial?: () => State;
  /** Runs before anything else in each life of an actor, as a turn with a commit of its own. */
  readonly init?: (ctx: Ctx<State>) => Awaitable<void>;
  /** Actions that may change state. */
  readonly actions: Actions & Handlers<Ctx<State>> & Fitting<NoInfer<Actions>>;
  /** Actions that only read: not committed, and safe to retry. */
  readonly reads?: Reads & Handlers<ReadCtx<State>>;
}

/** A JSON actor: give it to `serve`, to `TestKit.of`, and to `ref` for typed calls. */
export interface JsonActor<State = unknown, Actions = unknown, Reads = unknown>
  extends ActorDef<JsonActions<Actions, Reads>> {
  /** The state of an actor that has none yet. */
  readonly initial: () => State;
  /** The functions, by wire name. */
  readonly handlers: Readonly<Record<string, (ctx: never, argument: never) => unknown>>;
}

/**
 * Defines an actor by plain functions.
 *
 * @throws TypeError if a name is both an action and a read, if `init` is given twice, or if a timer or a channel names an
 * action that there is not.
 */
export function defineActor<State, const Actions, const Reads = Record<never, never>>(
  spec: JsonActorSpec<State, Actions, Reads>,
): JsonActor<State, Actions, Reads> {
  const { type, initial = () => ({}) as State, init, actions, reads, ...settings } = spec;
  const handlers: Record<string, (ctx: never, argument: never) => unknown> = {};
  const defs: Record<string, ActionDef> = {};
  const add = (name: string, handler: unknown, readOnly: boolean): void => {
    if (typeof handler !== "function") {
      throw new TypeError(`Actor "${type}": "${name}" must be a function.`);
    }
    if (Object.hasOwn(handlers, name)) {
      throw new TypeError(`Actor "${type}" defines "${name}" twice.`);
    }
    handlers[name] = handler as (ctx: never, argument: never) => unknown;
    defs[name] = jsonAction<unknown, unknown>(name, { readOnly });
  };
  if (init !== undefined) {
    add("init", init, false);
  }
  for (const [name, handler] of Object.entries(actions)) {
    add(name, handler, false);
  }
  for (const [name, handler] of Object.entries(reads ?? {})) {
    add(name, handler, true);
  }
  checkSettings({ type, settings, actions: defs });
  return { type, initial, handlers, settings, actions: defs as never };
}
