/**
 * What the committed turns of the actor under test set going: recorded for the test, and kept until it is due where the
 * actor told itself.
 */
import type { AnyAction } from "../definition.js";
import type { Payload } from "../gen/callboard/type/v1/type_pb.js";
import type { ActorAddress } from "../invoker.js";
import type { TurnEnd } from "../turn/execution.js";
import type { NextOut, TurnWorkflow } from "../turn/outputs.js";

/** A call that the actor made inside a turn. */
export interface CallMade {
  /** Whom it called. */
  readonly target: ActorAddress;
  /** The action, by wire name. */
  readonly action: string;
  /** The argument as the other actor gets it. */
  readonly argument: unknown;
}

/** A call that a committed turn told. What was not said is not there. */
export interface Effect extends CallMade {
  /** How long it waits after the commit, in milliseconds. */
  readonly delayMs?: number;
  /** When it is due. */
  readonly at?: Date;
  /** What travels with it. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** A message that a committed turn broadcast. */
export interface BroadcastMade {
  /** The channel's name. */
  readonly channel: string;
  /** The message as subscribers get it. */
  readonly message: unknown;
  /** What travels with it, if anything does. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** Whom a committed turn left its answer to. */
export interface NextMade {
  readonly kind: NextOut["kind"];
  /** Who answers. */
  readonly target: ActorAddress;
  /** The action, by wire name. */
  readonly action: string;
  /** What the other actor gets; of a pipe only. */
  readonly argument?: unknown;
}

/** Something that the actor told itself. */
export interface OwnTell {
  readonly dueMs: number;
  readonly action: AnyAction;
  readonly payload: Payload | undefined;
  readonly metadata: Readonly<Record<string, string>>;
}

/** The outputs of one actor's turns. */
export class KitOutbox {
  readonly effects: Effect[] = [];
  readonly broadcasts: BroadcastMade[] = [];
  /** Of the newest committed turn. */
  next: NextMade | undefined;
  readonly #self: ActorAddress;
  #own: OwnTell[] = [];

  constructor(self: ActorAddress) {
    this.#self = self;
  }

  /** Takes what a turn set going that was committed at this time. */
  commit(end: TurnEnd, nowMs: number): void {
    const { workflow, outcome } = end;
    this.next = workflow?.next && this.#nextOf(workflow.next, outcome.case === "reply" ? outcome.value : undefined);
    if (workflow !== undefined) {
      this.#take(workflow, nowMs);
    }
  }

  /** When the first of what the actor told itself is due. */
  get dueMs(): number | undefined {
    return this.#own[0]?.dueMs;
  }

  /** The first of what the actor told itself. */
  shift(): OwnTell | undefined {
    return this.#own.shift();
  }

  #take({ effects, broadcasts }: TurnWorkflow, nowMs: number): void {
    for (const { target, action, payload, delayMs, dueAtMs, metadata } of effects) {
      const address = this.#address(target);
      this.effects.push({
        target: address,
        action: action.name,
        argument: action.input.decode(payload) as unknown,
        ...(delayMs === 0 ? {} : { delayMs }),
        ...(dueAtMs === 0 ? {} : { at: new Date(dueAtMs) }),
        ...withEntries(metadata),
      });
      if (address.system === this.#self.system && address.type === this.#self.type && address.key === this.#self.key) {
        this.#own.push({ dueMs: dueAtMs === 0 ? nowMs + delayMs : dueAtMs, action, payload, metadata });
      }
    }
    // Stable: what is due at one time keeps its order.
    this.#own.sort((a, b) => a.dueMs - b.dueMs);
    for (const { channel, codec, payload, metadata } of broadcasts) {
      this.broadcasts.push({ channel, message: codec.decode(payload), ...withEntries(metadata) });
    }
  }

  #nextOf({ kind, target, action }: NextOut, payload: Payload | undefined): NextMade {
    const next = { kind, target: this.#address(target), action: action.name };
    return kind === "forward" ? next : { ...next, argument: action.input.decode(payload) as unknown };
  }

  #address(target: ActorAddress): ActorAddress {
    return { ...target, system: target.system || this.#self.system, key: target.key || target.type };
  }
}

function withEntries(metadata: Readonly<Record<string, string>>): { metadata?: Readonly<Record<string, string>> } {
  return Object.keys(metadata).length === 0 ? {} : { metadata };
}
