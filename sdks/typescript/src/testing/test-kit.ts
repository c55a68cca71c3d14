/**
 * The test kit: runs one actor in this process, without a server, through the same code that a host runs it with. It
 * stands in for the node: it keeps the committed state as bytes, remembers outcomes, activates and deactivates.
 */
import type { Actor } from "../actor.js";
import type { AnyActor, Binding } from "../binding.js";
import { bind } from "../binding.js";
import type { StateOf } from "../client/client.js";
import { isNothing } from "../codec.js";
import type { ActionMap, ActorDef, AnyAction, ArgInitOf, ReplyOf } from "../definition.js";
import type { Duration } from "../duration.js";
import { toMillis } from "../duration.js";
import { CallboardError, Code } from "../errors.js";
import type { ActorAddress, CallOptions, Invoked, Invoker } from "../invoker.js";
import { refTo } from "../invoker.js";
import type { Logger } from "../logger.js";
import { silentLogger } from "../logger.js";
import { VirtualClock } from "./clock.js";
import type { KitCall } from "./node.js";
import { KitNode } from "./node.js";
import type { BroadcastMade, CallMade, Effect, NextMade } from "./outbox.js";
import type { Stubs } from "./stubs.js";

/** Settings of a test kit. */
export interface TestKitOptions {
  /** The system that the actor lives in. Default "default". */
  readonly system?: string;
  /** What the clock shows at first. Default: the real time. */
  readonly now?: Date;
  /** Where log lines go. Default: nowhere. */
  readonly logger?: Logger;
}

/** Settings of a call in a test. */
export interface KitCallOptions extends CallOptions {
  /** What `ctx.attempt` shows. Default 1. */
  readonly attempt?: number;
  /** The actor that makes the call. Default: it comes from outside. */
  readonly caller?: Partial<ActorAddress>;
  /**
   * What goes wrong. "before-commit": the host is lost before the result counts, and the turn is run again.
   * "after-commit": the turn is committed but its reply is lost, and the call fails with OUTCOME_UNKNOWN.
   */
  readonly fault?: "before-commit" | "after-commit";
}

/** The actor type that something registered describes. */
export type DefOf<A> = A extends { readonly def: infer Def extends ActorDef } ? Def : A extends ActorDef ? A : never;

/** The state of the actors of something registered. */
export type KitState<A> = DefOf<A> extends { readonly state: unknown }
  ? StateOf<DefOf<A>>
  : A extends new () => Actor<infer State>
    ? State
    : StateOf<A>;

type KitArgs<A> = undefined extends ArgInitOf<A>
  ? [argument?: ArgInitOf<A>, options?: KitCallOptions]
  : Record<never, never> extends ArgInitOf<A>
    ? [argument?: ArgInitOf<A>, options?: KitCallOptions]
    : [argument: ArgInitOf<A>, options?: KitCallOptions];

/** The actions of the actor under test. */
export type KitActions<Actions extends ActionMap> = {
  readonly [K in keyof Actions]: (...args: KitArgs<Actions[K]>) => Promise<ReplyOf<Actions[K]>>;
};

/** A test kit with the actions of its actor as methods, except those whose names the kit uses itself. */
export type KitOf<A> = TestKit<KitState<A>, DefOf<A>["actions"]> &
  Omit<KitActions<DefOf<A>["actions"]>, keyof TestKit<unknown, ActionMap>>;

/** Runs one actor for a test. */
export class TestKit<State, Actions extends ActionMap> implements Invoker {
  /** The actor under test. */
  readonly self: ActorAddress;
  /** The system that the actor lives in. */
  readonly system: string;
  /** The time. */
  readonly clock: VirtualClock;
  /** The actor's actions; the same methods as on the kit itself, whatever their names. */
  readonly actions: KitActions<Actions>;
  readonly #node: KitNode;
  readonly #binding: Binding;

  private constructor(binding: Binding, key: string, options: TestKitOptions) {
    this.system = options.system ?? "default";
    this.self = { system: this.system, type: binding.def.type, key };
    this.#binding = binding;
    this.clock = new VirtualClock(options.now ?? new Date(), (untilMs, setNow) => this.#node.pass(untilMs, setNow));
    this.#node = new KitNode(binding, this.self, {
      now: () => this.clock.now().getTime(),
      logger: options.logger ?? silentLogger,
    });
    this.actions = refTo(this, binding.def, key) as unknown as KitActions<Actions>;
  }

  /** Makes a kit for one actor. The key may be left out for named types. */
  static of<A extends AnyActor>(actor: A, key?: string, options: TestKitOptions = {}): KitOf<A> {
    const binding = bind(actor);
    const { type } = binding.def;
    const kit = new TestKit<KitState<A>, DefOf<A>["actions"]>(binding, key ?? type, options);
    for (const [name, method] of Object.entries(kit.actions)) {
      if (!(name in kit)) {
        Object.defineProperty(kit, name, { value: method });
      }
    }
    return kit as KitOf<A>;
  }

  /** The committed state, read from its bytes; the initial one if nothing is committed yet. */
  get state(): State {
    const { state } = this.#node.image;
    return (isNothing(state) ? this.#binding.initial() : this.#binding.state.decode(state)) as State;
  }

  /** The committed tags. */
  get tags(): Readonly<Record<string, string>> {
    return this.#node.image.tags;
  }

  /** How many turns are committed. */
  get revision(): bigint {
    return this.#node.revision;
  }

  /** True while the actor is in memory. */
  get active(): boolean {
    return this.#node.active;
  }

  /** The calls that the actor made inside its turns, in order. */
  get calls(): readonly CallMade[] {
    return this.#node.calls;
  }

  /** What its committed turns told, in order. */
  get effects(): readonly Effect[] {
    return this.#node.outbox.effects;
  }

  /** What its committed turns broadcast, in order. */
  get broadcasts(): readonly BroadcastMade[] {
    return this.#node.outbox.broadcasts;
  }

  /** Whom the newest committed turn left its answer to; undefined if it answered itself. */
  get next(): NextMade | undefined {
    return this.#node.outbox.next;
  }

  /** Forgets the calls, effects and broadcasts so far. What the actor told itself is delivered all the same. */
  clear(): void {
    const { calls, outbox } = this.#node;
    [calls, outbox.effects, outbox.broadcasts].forEach((list) => list.splice(0));
  }

  /**
   * Runs what the actor told itself, as far as it is due, until nothing more is. With a fault, it goes wrong with each of
   * these turns, which are then delivered again as a node does it.
   *
   * @returns How many turns that were.
   */
  async deliver(options: Pick<KitCallOptions, "fault"> = {}): Promise<number> {
    return this.#node.deliver(options.fault);
  }

  /** Stands in for the actors of another type, in place of earlier stand-ins for it. */
  stub<D extends ActorDef | { readonly def: ActorDef }>(other: D, stubs: Stubs<DefOf<D>["actions"]>): void {
    const def: ActorDef = "def" in other ? other.def : other;
    this.#node.stubs.set(def, stubs as Readonly<Record<string, unknown>>);
  }

  /** Loses the actor from memory, as a crash does. The next call activates it from its committed bytes. */
  async restart(): Promise<void> {
    await this.#node.restart();
  }

  /** Calls an action; the methods of the kit end here. */
  async invoke<A extends AnyAction>(
    target: ActorAddress,
    action: A,
    argument: ArgInitOf<A>,
    options: KitCallOptions = {},
  ): Promise<Invoked<ReplyOf<A>>> {
    if (target.type !== this.self.type || target.key !== this.self.key) {
      throw new CallboardError(Code.NOT_FOUND, "UNKNOWN_TYPE", "A test kit runs one actor only.");
    }
    const call: KitCall = { action, argument, options, timeoutMs: timeoutOf(this.#binding, options) };
    const end = await this.#node.call(call);
    return { ...end, reply: action.output.decode(end.reply) as ReplyOf<A> };
  }
}

const DEFAULT_TURN_TIMEOUT: Duration = "30s";

function timeoutOf(binding: Binding, options: KitCallOptions): number {
  return toMillis(options.timeout ?? binding.def.settings?.turnTimeout ?? DEFAULT_TURN_TIMEOUT);
}
