/**
 * The unary transport: each attempt is a gRPC call of its own. Dearer than the stream, but every proxy understands it.
 */
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Client as Channel } from "@grpc/grpc-js";
import { Metadata } from "@grpc/grpc-js";

import { CallboardError, Code } from "../errors.js";
import type { GetStateRequest, GetStateResponse, InvokeRequest, SpawnRequest, SpawnResponse } from "../gen/callboard/gateway/v1/gateway_pb.js";
import { GatewayService } from "../gen/callboard/gateway/v1/gateway_pb.js";
import type { ServerOptions } from "../wire/channel.js";
import { openChannel, serverAddress } from "../wire/channel.js";
import { errorFromStatus } from "./status.js";
import type { AttemptEnd, Transport } from "./transport.js";

type UnaryMethod = (typeof GatewayService.method)["invoke" | "spawn" | "getState"];

/** Sends each attempt by itself. */
export class UnaryTransport implements Transport {
  readonly #channel: Channel;
  readonly #server: string;

  constructor(options: ServerOptions) {
    this.#server = serverAddress(options);
    this.#channel = openChannel(options);
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
    return this.#call(GatewayService.method.spawn, request, timeoutMs);
  }

  getState(request: GetStateRequest, timeoutMs: number): Promise<GetStateResponse> {
    return this.#call(GatewayService.method.getState, request, timeoutMs);
  }

  close(): void {
    this.#channel.close();
  }

  #call<M extends UnaryMethod>(
    method: M,
    request: MessageShape<M["input"]>,
    timeoutMs: number,
  ): Promise<MessageShape<M["output"]>> {
    return new Promise((resolve, reject) => {
      this.#start(method, request, timeoutMs, (error, value) =>
        error === undefined ? resolve(value as MessageShape<M["output"]>) : reject(error),
      );
    });
  }

  #start(
    method: UnaryMethod,
    request: MessageShape<DescMessage>,
    timeoutMs: number,
    done: (error: CallboardError | undefined, value: unknown) => void,
  ): () => void {
    try {
      const call = this.#channel.makeUnaryRequest(
        `/${GatewayService.typeName}/${method.name}`,
        (message: MessageShape<DescMessage>) => Buffer.from(toBinary(method.input as DescMessage, message)),
        (bytes: Buffer): unknown => fromBinary(method.output as DescMessage, bytes),
        request,
        new Metadata(),
        { deadline: Date.now() + timeoutMs },
        (error, value) => done(error === null ? undefined : errorFromStatus(error, this.#server), value),
      );
      return () => call.cancel();
    } catch (error) {
      // grpc-js throws if the channel is closed.
      const closed = new CallboardError(Code.CANCELLED, "CLIENT_CLOSED", "The client was closed.", { cause: error });
      setImmediate(() => done(closed, undefined));
      return () => undefined;
    }
  }
}
