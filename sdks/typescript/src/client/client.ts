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
import { GetStateRequestSchema, InvokeMode, SpawnRequestSchema } from "../gen/callboard/gateway/v1/gateway_pb.js";
import type { Payload } from "../gen/callboard/type/v1/type_pb.js";
import { uuidv7 } from "../ids.js";
import type { ActorAddress, CallOptions, Invoked, Invoker, RefTo } from "../invoker.js";
import { ActorRef, refTo } from "../invoker.js";
import type { ServerOptions } from "../wire/channel.js";
import { runCall } from "./call.js";
import { StreamTransport } from "./stream.js";
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

/** The answer to an asynchronous call. */
export interface Accepted {
  /** The request id that the call runs under. */
  readonly requestId: string;
  /** True if acceptance is committed: the call survives any crash. False if it is only in memory. */
  readonly durable: boolean;
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
  readonly #transport: Transport;
  readonly #timeoutMs: number;
  readonly #metadata: Readonly<Record<string, string>>;

  constructor(options: ClientOptions = {}) {
    this.system = options.system ?? "default";
    this.#transport = options.transport === "unary" ? new UnaryTransport(options) : new StreamTransport(options);
    this.#timeoutMs = toMillis(options.timeout ?? DEFAULT_TIMEOUT);
    this.#metadata = options.metadata ?? {};
  }

  /** A reference to an actor. For generated actors use their own client class, such as `CounterClient`. */
  ref<Actions extends ActionMap>(def: Pick<ActorDef<Actions>, "type" | "actions">, key: string): RefTo<Actions> {
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
   * Sends a call without waiting for it to run; settles when the server has accepted it.
   *
   * @throws CallboardError if it was not accepted.
   */
  async send<A extends AnyAction>(
    target: ActorRef | ActorAddress,
    action: A,
    argument: ArgInitOf<A>,
    options?: CallOptions,
  ): Promise<Accepted> {
    const address = target instanceof ActorRef ? target.$id : target;
    const { requestId, durable } = await this.#run(address, action, argument, InvokeMode.ASYNC, options);
    return { requestId, durable };
  }

  /** Reads the committed state of an actor, without activating it. */
  async getState<Def extends ActorDef>(def: Def, key: string): Promise<ActorSnapshot<StateOf<Def>>> {
    const actor = addressToId({ system: this.system, type: def.type, key });
    const answer = await this.#transport.getState(create(GetStateRequestSchema, { actor }), this.#timeoutMs);
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
    const { results } = await this.#transport.spawn(create(SpawnRequestSchema, { actors }), this.#timeoutMs);
    const refused = results.find((result) => result.error !== undefined)?.error;
    if (refused !== undefined) {
      throw errorFromWire(refused);
    }
    return results.map(({ actor }) => idToAddress(actor));
  }

  /** Ends the connection. Calls under way fail with CLIENT_CLOSED. */
  close(): void {
    this.#transport.close();
  }

  async #run(
    target: ActorAddress,
    action: AnyAction,
    argument: unknown,
    mode: InvokeMode,
    options: CallOptions = {},
  ): Promise<InvokeResponse> {
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
    };
    const attempts = {
      createdAtMs: now,
      requestId: request.requestId,
      attempt: (leftMs: number, done: (end: AttemptEnd) => void): (() => void) => {
        request.timeoutMs = leftMs;
        return this.#transport.attempt(request, done);
      },
    };
    const response = await runCall(attempts, {
      timeoutMs: options.timeout === undefined ? this.#timeoutMs : toMillis(options.timeout),
      retry: options.retry ?? true,
      signal: options.signal,
    });
    return { ...response, requestId: response.requestId || request.requestId };
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
