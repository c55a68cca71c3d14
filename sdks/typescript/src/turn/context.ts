/**
 * The context that an action sees. State and tags are decoded when the action first asks for them, and written only if
 * it did.
 */
import { addressText } from "../address.js";
import type { Ctx, FencingToken } from "../actor.js";
import type { ActionMap, ActorDef, AnyAction, ArgInitOf, ReplyOf } from "../definition.js";
import type { Call, CallTo, ForwardTo, Next } from "../describe.js";
import { HandOver } from "../describe.js";
import { CallboardError, Code } from "../errors.js";
import type { Payload } from "../gen/callboard/type/v1/type_pb.js";
import type { ActorAddress, CallOptions, Invoked, RefTo } from "../invoker.js";
import { refTo } from "../invoker.js";
import type { ActorLog } from "../logger.js";
import { actorLog } from "../logger.js";
import { isNothing } from "../codec.js";
import type { AnyChannel, SayOn } from "../message-channel.js";
import { channelOf } from "../message-channel.js";
import type { ActorImage, Execution } from "./execution.js";
import { turnEnded } from "./execution.js";
import type { BroadcastOptions, NextOut, TellOptions, TurnWorkflow } from "./outputs.js";
import { TurnOutputs } from "./outputs.js";

/** Longest time that a Date can show; stands for "no deadline". */
const FOREVER_MS = 8.64e15;

/** The context of one turn. */
export class TurnContext implements Ctx<unknown> {
  readonly #execution: Execution;
  readonly #image: ActorImage;
  readonly #readOnly: boolean;
  #loaded = false;
  #state: unknown;
  #tags: Record<string, string> | undefined;
  #log: ActorLog | undefined;
  #outputs: TurnOutputs | undefined;

  constructor(execution: Execution, image: ActorImage, readOnly: boolean) {
    this.#execution = execution;
    this.#image = image;
    this.#readOnly = readOnly;
  }

  get state(): unknown {
    if (!this.#loaded) {
      this.#alive();
      this.#state = this.#load();
      this.#loaded = true;
    }
    return this.#state;
  }

  set state(value: unknown) {
    this.#writable();
    this.#state = value;
    this.#loaded = true;
  }

  get tags(): Record<string, string> {
    return (this.#tags ??= { ...this.#image.tags });
  }

  set tags(value: Record<string, string>) {
    this.#writable();
    this.#tags = value;
  }

  get self(): ActorAddress {
    return this.#execution.spec.actor;
  }

  get system(): string {
    return this.#execution.spec.actor.system;
  }

  get action(): string {
    return this.#execution.spec.action;
  }

  get caller(): ActorAddress | undefined {
    return this.#execution.spec.caller;
  }

  get metadata(): Readonly<Record<string, string>> {
    return this.#execution.spec.metadata;
  }

  get requestId(): string {
    return this.#execution.spec.requestId;
  }

  get idempotencyKey(): string {
    const { calls, spec } = this.#execution;
    return calls.naming?.prefix ?? spec.requestId;
  }

  get createdAt(): Date {
    return new Date(this.#execution.spec.createdAtMs);
  }

  get attempt(): number {
    return this.#execution.spec.attempt;
  }

  get fencingToken(): FencingToken {
    return { epoch: this.#execution.spec.epoch, revision: this.#execution.spec.revision };
  }

  get deadline(): Date {
    return new Date(Math.min(this.#execution.deadlineMs, FOREVER_MS));
  }

  get signal(): AbortSignal {
    return this.#execution.signal;
  }

  get log(): ActorLog {
    const { spec, world } = this.#execution;
    return (this.#log ??= actorLog(world.logger, () => ({
      actor: addressText(spec.actor),
      action: spec.action,
      requestId: spec.requestId,
    })));
  }

  now(): Date {
    return new Date(this.#execution.world.now());
  }

  ref<Actions extends ActionMap>(def: Pick<ActorDef<Actions>, "type" | "actions">, key = ""): RefTo<Actions> {
    return refTo(this, def, key);
  }

  async invoke<A extends AnyAction>(
    target: ActorAddress,
    action: A,
    argument: ArgInitOf<A>,
    options?: CallOptions,
  ): Promise<Invoked<ReplyOf<A>>> {
    const reply = (await this.#execution.calls.make(target, action, argument, options)) as ReplyOf<A>;
    return { reply, requestId: "", revision: 0n, durable: false };
  }

  tell(call: Call, options: TellOptions = {}): void {
    this.#setsGoing("tell").tell(call, options);
  }

  broadcast<const C extends string | AnyChannel>(channel: C, message: SayOn<C>, options: BroadcastOptions = {}): void {
    this.#setsGoing("broadcast").broadcast(channelOf(channel), message, options);
  }

  pipe<Reply>(call: Call<Reply>): Next<unknown, Reply> {
    this.#setsGoing("pipe");
    return new HandOver("pipe", call) as unknown as Next<unknown, Reply>;
  }

  forward<A extends AnyAction>({ target, action }: CallTo<A>): ForwardTo<A> {
    this.#setsGoing("forward");
    return new HandOver("forward", { target, action, argument: undefined }) as unknown as ForwardTo<A>;
  }

  checkpoint(): void {
    this.#setsGoing("checkpoint").checkpoint = true;
  }

  deactivate(): void {
    this.#setsGoing("deactivate").deactivate = true;
  }

  /** What is said of the next actor if the turn ends with it, and the payload of the turn's own reply. @internal */
  handOver({ kind, call }: HandOver): { readonly out: NextOut; readonly payload: Payload | undefined } {
    const { target, action, argument } = call;
    const encoded = kind === "pipe" ? (action.input.encode(argument) as Payload | undefined) : undefined;
    return { out: { kind, target, action }, payload: encoded };
  }

  /** What the turn set going; undefined if that is nothing. @internal */
  workflow(next: NextOut | undefined): TurnWorkflow | undefined {
    const outputs = next === undefined ? this.#outputs : this.#setsGoing("hand over");
    return outputs?.workflow(next);
  }

  /** True if nothing of the turn counts any longer. @internal */
  get isOver(): boolean {
    return this.#execution.ended || this.#execution.aborted !== undefined;
  }

  /** Undoes all that the turn did so far to state and tags, and drops what it set going. @internal */
  undo(): void {
    this.#alive();
    this.#loaded = false;
    this.#state = undefined;
    this.#tags = undefined;
    this.#outputs = undefined;
  }

  /** Runs a part of the turn whose calls are named `prefix/I`, whichever turn makes them. @internal */
  async named<T>(prefix: string, part: () => T): Promise<Awaited<T>> {
    const { calls } = this.#execution;
    calls.naming = { prefix, next: 0 };
    try {
      return await part();
    } finally {
      calls.naming = undefined;
    }
  }

  /** Describes a call of the actor itself. @internal */
  own(action: string, argument: unknown): Call {
    const def = this.#execution.binding.actions.get(action)?.def;
    if (def === undefined) {
      throw new TypeError(`Actor type "${this.self.type}" has no action "${action}".`);
    }
    return { target: this.self, action: def, argument };
  }

  /** The state to keep, encoded; undefined if the action cannot have changed it. @internal */
  writtenState(): { readonly payload: Payload | undefined } | undefined {
    if (!this.#loaded || this.#readOnly) {
      return undefined;
    }
    return { payload: this.#execution.binding.state.encode(this.#state) };
  }

  /** The tags to keep; undefined if they are as they were. @internal */
  writtenTags(): Readonly<Record<string, string>> | undefined {
    const after = this.#tags;
    if (after === undefined || this.#readOnly) {
      return undefined;
    }
    const before = this.#image.tags;
    const names = Object.keys(after);
    const same =
      names.length === Object.keys(before).length && names.every((name) => before[name] === after[name]);
    return same ? undefined : after;
  }

  #load(): unknown {
    const { binding, spec } = this.#execution;
    if (isNothing(this.#image.state)) {
      return binding.initial();
    }
    try {
      return binding.state.decode(this.#image.state);
    } catch (error) {
      this.#execution.stateError = new CallboardError(
        Code.INTERNAL,
        "STATE_UNREADABLE",
        `The state of ${spec.actor.type}/${spec.actor.key} cannot be read: ${String(error)}. ` +
          "It is kept as it is; run a host whose state type matches it.",
        { cause: error },
      );
      throw this.#execution.stateError;
    }
  }

  #writable(): void {
    this.#mayChange("change state or tags");
  }

  #setsGoing(what: string): TurnOutputs {
    this.#mayChange(what);
    return (this.#outputs ??= new TurnOutputs(this.metadata));
  }

  #mayChange(what: string): void {
    this.#alive();
    if (this.#readOnly) {
      throw new CallboardError(
        Code.FAILED_PRECONDITION,
        "READ_ONLY_ACTION",
        `"${this.action}" only reads and cannot ${what}. Drop NO_SIDE_EFFECTS, or do not do it.`,
      );
    }
  }

  #alive(): void {
    if (this.#execution.ended) {
      throw turnEnded();
    }
  }
}
