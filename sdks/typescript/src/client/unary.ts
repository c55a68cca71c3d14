/**
 * The unary transport: each attempt is a gRPC call of its own. Dearer than the stream, but every proxy understands it.
 */
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Client as Channel } from "@grpc/grpc-js";
import { connectivityState, Metadata } from "@grpc/grpc-js";

import { CallboardError, Code } from "../errors.js";
import type { GetStateRequest, GetStateResponse, InvokeRequest, SpawnRequest, SpawnResponse } from "../gen/callboard/gateway/v1/gateway_pb.js";
import { GatewayService } from "../gen/callboard/gateway/v1/gateway_pb.js";
import type { ServerOptions } from "../wire/channel.js";
import { CONNECT_TIMEOUT_MS, openChannel } from "../wire/channel.js";
import { Nodes } from "./nodes.js";
import { connectionLost, errorFromStatus } from "./status.js";
import { runCall } from "./call.js";
import type { AttemptEnd, Transport } from "./transport.js";

type UnaryMethod = (typeof GatewayService.method)["invoke" | "spawn" | "getState"];

/** Sends each attempt by itself. */
export class UnaryTransport implements Transport {
  readonly #nodes: Nodes<Channel>;
  #closed = false;

  constructor(options: ServerOptions) {
    this.#nodes = new Nodes(options, (address, failover) => openChannel(address, options, failover));
  }

  attempt(request: InvokeRequest, done: (end: AttemptEnd) => void): () => void {
    return this.#start(GatewayService.method.invoke, request, request.timeoutMs, (error, value) => {
      if (error === undefined) {
        done({ case: "response", value: value as MessageShape<typeof GatewayService.method.invoke.output> });
      } else {
        done({ case: "error", value: error });
      }
    });
  }

  spawn(request: SpawnRequest, timeoutMs: number): Promise<SpawnResponse> {
    return this.#query(GatewayService.method.spawn, request, timeoutMs);
  }

  getState(request: GetStateRequest, timeoutMs: number): Promise<GetStateResponse> {
    return this.#query(GatewayService.method.getState, request, timeoutMs);
  }

  close(): void {
    this.#closed = true;
    for (const channel of this.#nodes.opened) {
      channel.close();
    }
  }

  /** A call that changes nothing when it is made twice, retried like any other. */
  #query<M extends UnaryMethod>(
    method: M,
    request: MessageShape<M["input"]>,
    timeoutMs: number,
  ): Promise<MessageShape<M["output"]>> {
    const query = {
      createdAtMs: Date.now(),
      requestId: "",
      attempt: (leftMs: number, done: (end: AttemptEnd<MessageShape<M["output"]>>) => void): (() => void) =>
        this.#start(method, request, leftMs, (error, value) =>
          done(
            error === undefined
              ? { case: "response", value: value as MessageShape<M["output"]> }
              : { case: "error", value: error },
          ),
        ),
    };
    return runCall(query, { timeoutMs, retry: true, signal: undefined });
  }

  #start(
    method: UnaryMethod,
    request: MessageShape<DescMessage>,
    timeoutMs: number,
    done: (error: CallboardError | undefined, value: unknown) => void,
  ): () => void {
    const { address } = this.#nodes;
    try {
      if (this.#closed) {
        throw new Error("closed");
      }
      const channel = this.#nodes.connection();
      let silence: Error | undefined;
      const call = channel.makeUnaryRequest(
        `/${GatewayService.typeName}/${method.name}`,
        (message: MessageShape<DescMessage>) => Buffer.from(toBinary(method.input as DescMessage, message)),
        (bytes: Buffer): unknown => fromBinary(method.output as DescMessage, bytes),
        request,
        new Metadata(),
        { deadline: Date.now() + timeoutMs },
        (error, value) => {
          if (error === null) {
            done(undefined, value);
            return;
          }
          const explained = silence === undefined ? errorFromStatus(error, address) : connectionLost(address, silence);
          this.#nodes.failed(address, explained);
          done(explained, value);
        },
      );
      if (channel.getChannel().getConnectivityState(false) !== connectivityState.READY) {
        channel.waitForReady(Date.now() + CONNECT_TIMEOUT_MS, (error) => {
          if (error !== undefined) {
            silence = error;
            call.cancel();
          }
        });
      }
      return () => call.cancel();
    } catch (error) {
      // grpc-js throws if the channel is closed, or the address is none that it can read; another one may be.
      const refusal = this.#closed
        ? new CallboardError(Code.CANCELLED, "CLIENT_CLOSED", "The client was closed.", { cause: error })
        : connectionLost(address, error as Error);
      setImmediate(() => {
        this.#nodes.failed(address, refusal);
        done(refusal, undefined);
      });
      return () => undefined;
    }
  }
}
