/**
 * The context that an action sees. State and tags are decoded when the action first asks for them, and written only if
 * it did.
 */
import { addressText } from "../address.js";
import type { Ctx, FencingToken } from "../actor.js";
import type { ActionMap, ActorDef, AnyAction, ArgInitOf, ReplyOf } from "../definition.js";
import { CallboardError, Code } from "../errors.js";
import type { Payload } from "../gen/callboard/type/v1/type_pb.js";
import type { ActorAddress, CallOptions, Invoked, RefTo } from "../invoker.js";
import { refTo } from "../invoker.js";
import type { ActorLog } from "../logger.js";
import { actorLog } from "../logger.js";
import { isNothing } from "../codec.js";
import type { ActorImage, Execution } from "./execution.js";
import { turnEnded } from "./execution.js";

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
    return this.#execution.spec.requestId;
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

  ref<Actions extends ActionMap>(def: Pick<ActorDef<Actions>, "type" | "actions">, key: string): RefTo<Actions> {
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
    this.#alive();
    if (this.#readOnly) {
      throw new CallboardError(
        Code.FAILED_PRECONDITION,
        "READ_ONLY_ACTION",
        `"${this.action}" only reads and cannot change state or tags. Drop NO_SIDE_EFFECTS, or do not write.`,
      );
    }
  }

  #alive(): void {
    if (this.#execution.ended) {
      throw turnEnded();
    }
  }
}
