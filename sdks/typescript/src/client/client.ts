/**
 * The client: calls actors from outside. One client holds one stream to a node, shared by all of its calls, and moves to
 * the next of the nodes that it knows when that one cannot answer.
 */
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";

import { addressToId, idToAddress } from "../address.js";
import type { Codec } from "../codec.js";
import { isNothing, jsonCodec, protobufCodec } from "../codec.js";
import type { ActionMap, ActorDef, AnyAction, ArgInitOf, ReplyOf } from "../definition.js";
import type { Duration } from "../duration.js";
import { toMillis } from "../duration.js";
import { CallboardError, Code, errorFromWire } from "../errors.js";
import type { InvokeRequest, InvokeResponse } from "../gen/callboard/gateway/v1/gateway_pb.js";
import {
  GatewayService,
  GetStateRequestSchema,
  InvokeMode,
  PublishRequestSchema,
  SpawnRequestSchema,
  SubscribeRequestSchema,
} from "../gen/callboard/gateway/v1/gateway_pb.js";
import type { Payload } from "../gen/callboard/type/v1/type_pb.js";
import { uuidv7 } from "../ids.js";
import type { ActorAddress, CallOptions, Invoked, Invoker, RefTo } from "../invoker.js";
import { ActorRef, refTo } from "../invoker.js";
import type { AnyChannel, HeardOn, SayOn } from "../message-channel.js";
import { channelOf } from "../message-channel.js";
import { unixMillis } from "../turn/outputs.js";
import type { ServerOptions } from "../wire/channel.js";
import { ActorTools, DeadLetters } from "./actors.js";
import type { CallLimits } from "./call.js";
import { runCall } from "./call.js";
import { Control } from "./control.js";
import { Schedules } from "./schedules.js";
import { StreamTransport } from "./stream.js";
import type { SubscribeOptions, SubscriptionItem } from "./subscription.js";
import { hear } from "./subscription.js";
import type { AttemptEnd, Transport } from "./transport.js";
import { UnaryTransport } from "./unary.js";

/** Settings of a client. */
export interface ClientOptions extends ServerOptions {
  /** The system that its references belong to. Default "default". */
  readonly system?: string;
  /** Whether calls share one stream (the default) or are unary gRPC calls. */
  readonly transport?: "stream" | "unary";
  /** How long calls wait if they do not say otherwise, retries included. Default 30 s. */
  readonly timeout?: Duration;
  /** Metadata that goes with every call. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** Settings of a call that nobody waits for. Without a delay and a time it is made at once. */
export type SendOptions = CallOptions &
  (
    | {
        /** Makes the call this long after it was accepted. */
        readonly delay?: Duration;
        readonly at?: never;
      }
    | {
        readonly delay?: never;
        /** Makes the call at this time. */
        readonly at: Date;
      }
  );

/** What came of a publication. */
export interface Published {
  /** The publication's request id. */
  readonly requestId: string;
  /** How many actor types listen to the channel. */
  readonly types: number;
}

/** The answer to an asynchronous call. */
export interface Accepted {
  /** The request id that the call runs under. */
  readonly requestId: string;
  /** True if acceptance is committed: the call survives any crash. False if it is only in memory. */
  readonly durable: boolean;
  /** The schedule that will make the call, if it is to be made later. */
  readonly schedule: string | undefined;
}

/** The committed state of an actor. */
export interface ActorSnapshot<State> {
  /** True if the actor has ever had a committed turn. */
  readonly exists: boolean;
  /** Its state; undefined if it has none. */
  readonly state: State | undefined;
  /** The revision of the state. */
  readonly revision: bigint;
  /** The actor's tags. */
  readonly tags: Readonly<Record<string, string>>;
}

/** The state of the actors that a definition describes. */
export type StateOf<Def> = Def extends { readonly state: infer S extends DescMessage }
  ? MessageShape<S>
  : Def extends { readonly initial: () => infer State }
    ? State
    : unknown;

const DEFAULT_TIMEOUT: Duration = "30s";

/** Calls actors. */
export class Client implements Invoker {
  /** The system that references belong to. */
  readonly system: string;
  /** Calls that are made by the clock. */
  readonly schedules: Schedules;
  /** Tools for single actors. */
  readonly actors: ActorTools;
  /** Effects that could not be delivered. */
  readonly deadLetters: DeadLetters;
  readonly #unary: UnaryTransport;
  readonly #transport: Transport;
  readonly #timeoutMs: number;
  readonly #metadata: Readonly<Record<string, string>>;

  constructor(options: ClientOptions = {}) {
    this.system = options.system ?? "default";
    this.#unary = new UnaryTransport(options);
    this.#transport = options.transport === "unary" ? this.#unary : new StreamTransport(options);
    this.#timeoutMs = toMillis(options.timeout ?? DEFAULT_TIMEOUT);
    this.#metadata = options.metadata ?? {};
    const control = new Control(this.system, this.#unary, this.#timeoutMs);
    this.schedules = new Schedules(control);
    this.actors = new ActorTools(control);
    this.deadLetters = new DeadLetters(control);
  }

  /**
   * A reference to an actor. For generated actors use their own client class, such as `CounterClient`.
   *
   * @param key May be left out for named and pooled types.
   */
  ref<Actions extends ActionMap>(def: Pick<ActorDef<Actions>, "type" | "actions">, key = ""): RefTo<Actions> {
    return refTo(this, def, key);
  }

  /** Calls one action and waits for its reply. References do this for you. */
  async invoke<A extends AnyAction>(
    target: ActorAddress,
    action: A,
    argument: ArgInitOf<A>,
    options?: CallOptions,
  ): Promise<Invoked<ReplyOf<A>>> {
    const response = await this.#run(target, action, argument, InvokeMode.SYNC, options);
    return {
      reply: decodeReply(action, response) as ReplyOf<A>,
      requestId: response.requestId,
      revision: response.revision,
      durable: response.durable,
    };
  }

  /**
   * Sends a call without waiting for it to run, at once or for later; settles when the server has accepted it.
   *
   * @throws CallboardError if it was not accepted.
   */
  async send<A extends AnyAction>(
    target: ActorRef | ActorAddress,
    action: A,
    argument: ArgInitOf<A>,
    options?: SendOptions,
  ): Promise<Accepted> {
    const address = target instanceof ActorRef ? target.$id : target;
    const accepted = await this.#run(address, action, argument, InvokeMode.ASYNC, options);
    const { requestId, durable, schedule } = accepted;
    return { requestId, durable, schedule: schedule || undefined };
  }

  /**
   * Says something on a channel. Settles when everybody who gets it exactly once is sure to get it.
   *
   * @throws CallboardError if it was not said.
   */
  async publish<const C extends string | AnyChannel>(
    channel: C,
    message: SayOn<C>,
    options: CallOptions = {},
  ): Promise<Published> {
    const now = Date.now();
    const { name, message: codec } = channelOf(channel);
    const value = codec.encode(message);
    const limits = this.#limits(options);
    const request = create(PublishRequestSchema, {
      system: this.system,
      channel: name,
      message: value === undefined ? { case: undefined } : { case: "payload", value },
      requestId: options.idempotencyKey ?? uuidv7(now),
      createdAtMs: BigInt(now),
      metadata: { ...this.#metadata, ...options.metadata },
      timeoutMs: limits.timeoutMs,
    });
    const { types } = await this.#unary.query(GatewayService.method.publish, request, limits, now);
    return { requestId: request.requestId, types };
  }

  /**
   * Hears what is said on channels: `for await (const item of client.subscribe(["news"]))`. Items are messages, and
   * `missed` where some were lost. It goes on after lost connections, until the loop ends or its signal is aborted.
   *
   * @throws CallboardError while it is iterated, if the server refuses or the signal is aborted.
   */
  subscribe<const C extends string | AnyChannel>(
    channels: C | readonly C[],
    options: SubscribeOptions = {},
  ): AsyncGenerator<SubscriptionItem<HeardOn<C>>, void, undefined> {
    const listed = Array.isArray(channels) ? (channels as readonly C[]) : [channels as C];
    const typed = new Map<string, AnyChannel>();
    const names = listed.map((channel) => {
      if (typeof channel === "string") {
        return channel;
      }
      typed.set(channel.name, channel);
      return channel.name;
    });
    const source = {
      open: (resumeToken: string) =>
        this.#unary.subscribe(
          create(SubscribeRequestSchema, { system: this.system, channels: names, resumeToken }),
        ),
      explain: (address: string, error: unknown) => this.#unary.explain(address, error),
    };
    return hear(source, typed, options) as AsyncGenerator<SubscriptionItem<HeardOn<C>>, void, undefined>;
  }

  /** Reads the committed state of an actor, without activating it. */
  async getState<Def extends ActorDef>(def: Def, key: string = def.type): Promise<ActorSnapshot<StateOf<Def>>> {
    const actor = addressToId({ system: this.system, type: def.type, key });
    const answer = await this.#unary.query(
      GatewayService.method.getState,
      create(GetStateRequestSchema, { actor }),
      this.#limits({}),
    );
    const codec = (def.state === undefined ? jsonCodec() : protobufCodec(def.state)) as Codec<StateOf<Def>>;
    return {
      exists: answer.exists,
      state: isNothing(answer.state) ? undefined : codec.decode(answer.state),
      revision: answer.revision,
      tags: answer.tags,
    };
  }

  /**
   * Activates actors without calling an action, at most 1,000.
   *
   * @throws CallboardError the first refusal, if any of them could not be activated.
   */
  async spawn(def: Pick<ActorDef, "type">, keys: readonly string[]): Promise<readonly ActorAddress[]> {
    const actors = keys.map((key) => addressToId({ system: this.system, type: def.type, key }));
    const request = create(SpawnRequestSchema, { actors });
    const { results } = await this.#unary.query(GatewayService.method.spawn, request, this.#limits({}));
    const refused = results.find((result) => result.error !== undefined)?.error;
    if (refused !== undefined) {
      throw errorFromWire(refused);
    }
    return results.map(({ actor }) => idToAddress(actor));
  }

  /** Ends the connection. Calls under way fail with CLIENT_CLOSED. */
  close(): void {
    this.#transport.close();
    this.#unary.close();
  }

  async #run(
    target: ActorAddress,
    action: AnyAction,
    argument: unknown,
    mode: InvokeMode,
    options: SendOptions = {},
  ): Promise<InvokeResponse> {
    const { delay, at } = options as { delay?: Duration; at?: Date };
    const now = Date.now();
    const value = action.input.encode(argument) as Payload | undefined;
    const request: InvokeRequest = {
      $typeName: "callboard.gateway.v1.InvokeRequest",
      actor: addressToId(target),
      action: action.name,
      argument: value === undefined ? { case: undefined } : { case: "payload", value },
      requestId: options.idempotencyKey ?? uuidv7(now),
      createdAtMs: BigInt(now),
      timeoutMs: 0,
      metadata: { ...this.#metadata, ...options.metadata },
      mode,
      delayMs: BigInt(delay === undefined ? 0 : toMillis(delay)),
      dueAtMs: BigInt(at === undefined ? 0 : unixMillis(at)),
    };
    const attempts = {
      createdAtMs: now,
      requestId: request.requestId,
      attempt: (leftMs: number, done: (end: AttemptEnd) => void): (() => void) => {
        request.timeoutMs = leftMs;
        return this.#transport.attempt(request, done);
      },
    };
    const response = await runCall(attempts, this.#limits(options));
    return { ...response, requestId: response.requestId || request.requestId };
  }

  #limits(options: CallOptions): CallLimits {
    return {
      timeoutMs: options.timeout === undefined ? this.#timeoutMs : toMillis(options.timeout),
      retry: options.retry ?? true,
      signal: options.signal,
    };
  }
}

/**
 * Opens a client. The connection is made by the first call, and again whenever it is lost.
 *
 * @param server host:port of a node or of several, or all settings. Default: the environment variable CALLBOARD_SERVER,
 * else 127.0.0.1:7070.
 */
export function connect(server?: string | readonly string[] | ClientOptions): Client {
  const named = typeof server === "string" || Array.isArray(server);
  return new Client(named ? { server: server as string | readonly string[] } : (server as ClientOptions | undefined));
}

function decodeReply(action: AnyAction, { reply }: InvokeResponse): unknown {
  try {
    return action.output.decode(reply.case === "payload" ? reply.value : undefined);
  } catch (error) {
    throw new CallboardError(
      Code.INTERNAL,
      "INVALID_REPLY_PAYLOAD",
      `The reply of "${action.name}" cannot be read: ${String(error)}. The action did run.`,
      { cause: error },
    );
  }
}
