/**
 * The unary transport: each attempt is a gRPC call of its own. Dearer than the stream, but every proxy understands it.
 * Everything but calls of actors goes this way in any case.
 */
import type { DescMessage, DescMethodUnary, MessageShape } from "@bufbuild/protobuf";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Client as Channel, ClientReadableStream, ServiceError } from "@grpc/grpc-js";
import { connectivityState, Metadata } from "@grpc/grpc-js";

import { CallboardError, Code, isCallboardError } from "../errors.js";
import type { InvokeRequest, SubscribeRequest, SubscribeResponse } from "../gen/callboard/gateway/v1/gateway_pb.js";
import {
  GatewayService,
  SubscribeRequestSchema,
  SubscribeResponseSchema,
} from "../gen/callboard/gateway/v1/gateway_pb.js";
import type { ServerOptions } from "../wire/channel.js";
import { CONNECT_TIMEOUT_MS, openChannel } from "../wire/channel.js";
import type { Attempts, CallLimits } from "./call.js";
import { runCall } from "./call.js";
import { Nodes } from "./nodes.js";
import { connectionLost, errorFromStatus } from "./status.js";
import type { AttemptEnd, Transport } from "./transport.js";

/** A unary method with its messages. */
export type UnaryMethod<I extends DescMessage = DescMessage, O extends DescMessage = DescMessage> = Pick<
  DescMethodUnary<I, O>,
  "name" | "parent" | "input" | "output"
>;

const SUBSCRIBE_PATH = `/${GatewayService.typeName}/${GatewayService.method.subscribe.name}`;

/** Sends each attempt by itself. */
export class UnaryTransport implements Transport {
  readonly #nodes: Nodes<Channel>;
  readonly #streams = new Set<ClientReadableStream<SubscribeResponse>>();
  #closed = false;

  constructor(options: ServerOptions) {
    this.#nodes = new Nodes(options, (address, failover) => openChannel(address, options, failover));
  }

  attempt(request: InvokeRequest, done: (end: AttemptEnd) => void): () => void {
    return this.#start(GatewayService.method.invoke, request, request.timeoutMs, done);
  }

  /** A call that may be made again when it fails, because nothing happens twice. */
  query<I extends DescMessage, O extends DescMessage>(
    method: UnaryMethod<I, O>,
    request: MessageShape<I>,
    limits: CallLimits,
    createdAtMs = Date.now(),
  ): Promise<MessageShape<O>> {
    const attempts: Attempts<MessageShape<O>> = {
      createdAtMs,
      requestId: "",
      attempt: (leftMs, done) => this.#start(method, request, leftMs, done),
    };
    return runCall(attempts, limits);
  }

  /**
   * Opens a stream of a subscription.
   *
   * @throws CallboardError if it cannot even be begun.
   */
  subscribe(request: SubscribeRequest): { address: string; stream: ClientReadableStream<SubscribeResponse> } {
    const { address } = this.#nodes;
    try {
      if (this.#closed) {
        throw new Error("closed");
      }
      return { address, stream: this.#subscribe(address, request) };
    } catch (error) {
      // As with calls: another address may be one that grpc-js can read.
      throw this.explain(address, connectionLost(address, error as Error));
    }
  }

  #subscribe(address: string, request: SubscribeRequest): ClientReadableStream<SubscribeResponse> {
    const channel = this.#nodes.connection();
    const stream = channel.makeServerStreamRequest(
      SUBSCRIBE_PATH,
      (message: SubscribeRequest) => Buffer.from(toBinary(SubscribeRequestSchema, message)),
      (bytes: Buffer) => fromBinary(SubscribeResponseSchema, bytes),
      request,
      new Metadata(),
    );
    awaitConnection(channel, (error) => stream.destroy(connectionLost(address, error)));
    this.#streams.add(stream);
    stream.once("close", () => this.#streams.delete(stream));
    return stream;
  }

  /** What ended a call or a stream at a node; the next call goes to another one if that may help. */
  explain(address: string, error: unknown): CallboardError {
    let explained: CallboardError;
    if (this.#closed) {
      explained = clientClosed(error);
    } else {
      explained = isCallboardError(error) ? error : errorFromStatus(error as ServiceError, address);
      this.#nodes.failed(address, explained);
    }
    return explained;
  }

  close(): void {
    this.#closed = true;
    this.#streams.forEach((stream) => stream.cancel());
    for (const channel of this.#nodes.opened) {
      channel.close();
    }
  }

  #start<I extends DescMessage, O extends DescMessage>(
    method: UnaryMethod<I, O>,
    request: MessageShape<I>,
    timeoutMs: number,
    done: (end: AttemptEnd<MessageShape<O>>) => void,
  ): () => void {
    const { address } = this.#nodes;
    try {
      if (this.#closed) {
        throw new Error("closed");
      }
      const channel = this.#nodes.connection();
      let silence: Error | undefined;
      const call = channel.makeUnaryRequest(
        `/${method.parent.typeName}/${method.name}`,
        (message: MessageShape<I>) => Buffer.from(toBinary(method.input, message)),
        (bytes: Buffer) => fromBinary(method.output, bytes),
        request,
        new Metadata(),
        { deadline: Date.now() + timeoutMs },
        (error, value) => {
          if (error === null) {
            done({ case: "response", value: value as MessageShape<O> });
            return;
          }
          const cause = silence === undefined ? errorFromStatus(error, address) : connectionLost(address, silence);
          this.#nodes.failed(address, cause);
          done({ case: "error", value: cause });
        },
      );
      awaitConnection(channel, (error) => {
        silence = error;
        call.cancel();
      });
      return () => call.cancel();
    } catch (error) {
      // grpc-js throws if the channel is closed, or the address is none that it can read; another one may be.
      const refusal = this.#closed ? clientClosed(error) : connectionLost(address, error as Error);
      setImmediate(() => {
        this.#nodes.failed(address, refusal);
        done({ case: "error", value: refusal });
      });
      return () => undefined;
    }
  }
}

/** Tells if a node that is there says nothing. */
function awaitConnection(channel: Channel, silent: (error: Error) => void): void {
  if (channel.getChannel().getConnectivityState(false) !== connectivityState.READY) {
    channel.waitForReady(Date.now() + CONNECT_TIMEOUT_MS, (error) => {
      if (error !== undefined) {
        silent(error);
      }
    });
  }
}

function clientClosed(cause?: unknown): CallboardError {
  return new CallboardError(Code.CANCELLED, "CLIENT_CLOSED", "The client was closed.", { cause });
}
