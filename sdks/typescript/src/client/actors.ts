/**
 * Tools for single actors, and for effects that could not be delivered.
 */
import { addressToId, idToAddress } from "../address.js";
import type { Codec } from "../codec.js";
import { decodeLoosely, isNothing, jsonCodec, protobufCodec } from "../codec.js";
import type { ActorDef } from "../definition.js";
import type { CallboardError } from "../errors.js";
import { errorFromWire } from "../errors.js";
import type { Revision as WireRevision } from "../gen/callboard/control/v1/control_pb.js";
import { ActorsService } from "../gen/callboard/control/v1/control_pb.js";
import { DeadLettersService } from "../gen/callboard/control/v1/dead_letters_pb.js";
import type { ActorId } from "../gen/callboard/type/v1/type_pb.js";
import type { ActorAddress } from "../invoker.js";
import { unixMillis } from "../turn/outputs.js";
import type { StateOf } from "./client.js";
import type { Control, ToolOptions } from "./control.js";

/** A committed state that is kept. */
export interface Revision {
  /** Its number. */
  readonly revision: bigint;
  /** When it was committed. */
  readonly committedAt: Date;
  /** Its size. */
  readonly stateBytes: number;
}

/** A past state. */
export interface PastState<State> extends Revision {
  /** The state; undefined if there was none. */
  readonly state: State | undefined;
  /** The tags of that time. */
  readonly tags: Readonly<Record<string, string>>;
}

/** A revision by its number, or the newest one that was committed at or before a time. */
export type PointInHistory = bigint | number | Date;

type Type = Pick<ActorDef, "type">;

const { method: methods } = ActorsService;

/** Tools for the actors of a client's system. Every method throws a CallboardError if the server refuses. */
export class ActorTools {
  readonly #control: Control;

  /** @internal */
  constructor(control: Control) {
    this.#control = control;
  }

  /** Saves a snapshot actor now, and tells the revision that is saved. */
  async checkpoint(def: Type, key?: string, options?: ToolOptions): Promise<bigint> {
    return (await this.#control.call(methods.checkpointActor, this.#actor(def, key), options)).revision;
  }

  /** Takes an actor out of memory once nothing waits for it. */
  async deactivate(def: Type, key?: string, options?: ToolOptions): Promise<void> {
    await this.#control.call(methods.deactivateActor, this.#actor(def, key), options);
  }

  /** Deletes an actor's state, tags and history, and tells the revision of the deletion. Its pending effects still go. */
  async delete(def: Type, key?: string, options?: ToolOptions): Promise<bigint> {
    return (await this.#control.call(methods.deleteActor, this.#actor(def, key), options)).revision;
  }

  /** Lists the revisions that are kept, the newest first, with one call per page. */
  async *history(def: Type, key?: string, options?: ToolOptions): AsyncGenerator<Revision, void, undefined> {
    for (let below = 0n; ; ) {
      const request = { ...this.#actor(def, key), below };
      const { revisions } = await this.#control.call(methods.listRevisions, request, options);
      const last = revisions.at(-1);
      if (last === undefined) {
        return;
      }
      yield* revisions.map(readRevision);
      below = last.revision;
    }
  }

  /** Reads an actor's state at a revision or a time. */
  async stateAt<Def extends ActorDef>(
    def: Def,
    key: string,
    at: PointInHistory,
    options?: ToolOptions,
  ): Promise<PastState<StateOf<Def>>> {
    const request = { ...this.#actor(def, key), at: pointOf(at) };
    const past = await this.#control.call(methods.getRevision, request, options);
    const codec = (def.state === undefined ? jsonCodec() : protobufCodec(def.state)) as Codec<StateOf<Def>>;
    return {
      ...readRevision(past.revision),
      state: isNothing(past.state) ? undefined : codec.decode(past.state),
      tags: past.tags,
    };
  }

  /** Gives an actor the state that it had at a revision or a time, as a new revision. */
  async restore(
    def: Type,
    key: string,
    at: PointInHistory,
    options?: ToolOptions,
  ): Promise<{ readonly revision: bigint; readonly restored: bigint }> {
    const request = { ...this.#actor(def, key), at: pointOf(at) };
    const { revision, restored } = await this.#control.call(methods.restoreActor, request, options);
    return { revision, restored };
  }

  #actor({ type }: Type, key = type): { actor: ActorId } {
    return { actor: addressToId({ system: this.#control.system, type, key }) };
  }
}

function readRevision(from: WireRevision | undefined): Revision {
  return {
    revision: from?.revision ?? 0n,
    committedAt: new Date(Number(from?.committedAtMs ?? 0n)),
    stateBytes: Number(from?.stateBytes ?? 0n),
  };
}

function pointOf(at: PointInHistory): { case: "revision"; value: bigint } | { case: "timeMs"; value: bigint } {
  return at instanceof Date
    ? { case: "timeMs", value: BigInt(unixMillis(at)) }
    : { case: "revision", value: BigInt(at) };
}

/** An effect that could not be delivered. */
export interface DeadLetter {
  /** Names it. */
  readonly id: string;
  /** The actor that told it. */
  readonly source: ActorAddress;
  /** The actor that it was for; without type and key if it is a message to a channel. */
  readonly target: ActorAddress;
  /** The action, by wire name; empty for messages. */
  readonly action: string;
  /** The channel that the message was for; empty for effects. */
  readonly channel: string;
  /** The argument, or what was said: the value if it is JSON, else the bytes of the message. */
  readonly argument: unknown;
  /** The request id of the call. */
  readonly requestId: string;
  /** Why it could not be delivered. */
  readonly error: CallboardError | undefined;
  /** How often it was tried. */
  readonly attempts: number;
  /** When its turn was committed. */
  readonly createdAt: Date;
  /** When it was given up. */
  readonly diedAt: Date;
}

const { method: letters } = DeadLettersService;

/** The dead letters of a client's system. Every method throws a CallboardError if the server refuses. */
export class DeadLetters {
  readonly #control: Control;

  /** @internal */
  constructor(control: Control) {
    this.#control = control;
  }

  /** Lists dead letters, the oldest first, with one call per page. */
  async *list(
    options: ToolOptions & { readonly sourceType?: string } = {},
  ): AsyncGenerator<DeadLetter, void, undefined> {
    let pageToken = "";
    do {
      const request = { system: this.#control.system, sourceType: options.sourceType ?? "", pageToken };
      const page = await this.#control.call(letters.listDeadLetters, request, options);
      for (const { source, target, payload, error, ...letter } of page.letters) {
        yield {
          id: letter.id,
          source: idToAddress(source),
          target: idToAddress(target),
          action: letter.action,
          channel: letter.channel,
          argument: decodeLoosely(payload),
          requestId: letter.requestId,
          error: error && errorFromWire(error),
          attempts: letter.attempts,
          createdAt: new Date(Number(letter.createdAtMs)),
          diedAt: new Date(Number(letter.diedAtMs)),
        };
      }
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
  }

  /** Delivers a dead letter again, under its own request id. It goes once its target accepted it. */
  async retry(id: string, options?: ToolOptions): Promise<void> {
    await this.#control.call(letters.retryDeadLetter, { id }, options);
  }

  /** Forgets a dead letter. */
  async drop(id: string, options?: ToolOptions): Promise<void> {
    await this.#control.call(letters.dropDeadLetter, { id }, options);
  }
}
