/**
 * The stream transport: all attempts share one `InvokeStream`. Calls that are made in one turn of the event loop leave in
 * one message, which is what makes many small calls cheap. A broken stream fails the attempts on it; the next attempt
 * opens a new one.
 */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Client as Channel, ClientDuplexStream, ServiceError } from "@grpc/grpc-js";

import { CallboardError, Code, errorFromWire } from "../errors.js";
import type { GetStateRequest, GetStateResponse, InvokeRequest, SpawnRequest, SpawnResponse } from "../gen/callboard/gateway/v1/gateway_pb.js";
import {
  GatewayService,
  InvokeStreamRequestSchema,
  InvokeStreamResponseSchema,
} from "../gen/callboard/gateway/v1/gateway_pb.js";
import { BatchWriter } from "../wire/batch.js";
import type { ServerOptions } from "../wire/channel.js";
import { openChannel, serverAddress } from "../wire/channel.js";
import { connectionLost, errorFromStatus } from "./status.js";
import type { AttemptEnd, Transport } from "./transport.js";
import { UnaryTransport } from "./unary.js";

const STREAM_PATH = `/${GatewayService.typeName}/${GatewayService.method.invokeStream.name}`;

type Done = (end: AttemptEnd) => void;

/** Sends all attempts over one stream. */
export class StreamTransport implements Transport {
  readonly #options: ServerOptions;
  #connection: Connection | undefined;
  #unary: UnaryTransport | undefined;
  #closed = false;

  constructor(options: ServerOptions) {
    this.#options = options;
  }

  attempt(request: InvokeRequest, done: Done): () => void {
    if (this.#closed) {
      const error = new CallboardError(Code.CANCELLED, "CLIENT_CLOSED", "The client was closed.");
      setImmediate(() => done({ case: "error", value: error }));
      return () => undefined;
    }
    if (this.#connection === undefined || this.#connection.broken) {
      this.#connection = new Connection(this.#options);
    }
    return this.#connection.attempt(request, done);
  }

  spawn(request: SpawnRequest, timeoutMs: number): Promise<SpawnResponse> {
    return this.#other().spawn(request, timeoutMs);
  }

  getState(request: GetStateRequest, timeoutMs: number): Promise<GetStateResponse> {
    return this.#other().getState(request, timeoutMs);
  }

  close(): void {
    this.#closed = true;
    this.#connection?.close();
    this.#unary?.close();
  }

  #other(): UnaryTransport {
    return (this.#unary ??= new UnaryTransport(this.#options));
  }
}

/** One stream, from its opening until it breaks. */
class Connection {
  broken = false;
  readonly #server: string;
  readonly #channel: Channel;
  readonly #stream: ClientDuplexStream<Buffer, Buffer>;
  readonly #writer: BatchWriter;
  readonly #waiting = new Map<bigint, Done>();
  #next = 0n;

  constructor(options: ServerOptions) {
    this.#server = serverAddress(options);
    this.#channel = openChannel(options);
    this.#stream = this.#channel.makeBidiStreamRequest(
      STREAM_PATH,
      (message: Buffer) => message,
      (message: Buffer) => message,
    );
    this.#writer = new BatchWriter(this.#stream);
    this.#stream.on("data", (message: Buffer) => this.#receive(message));
    this.#stream.on("error", (error: ServiceError) => this.#break(errorFromStatus(error, this.#server)));
    this.#stream.on("end", () => this.#break(connectionLost(this.#server)));
  }

  attempt(call: InvokeRequest, done: Done): () => void {
    this.#next += 1n;
    const streamId = this.#next;
    this.#waiting.set(streamId, done);
    this.#writer.push(
      toBinary(InvokeStreamRequestSchema, {
        $typeName: "callboard.gateway.v1.InvokeStreamRequest",
        calls: [{ $typeName: "callboard.gateway.v1.StreamCall", streamId, call }],
        cancels: [],
      }),
    );
    return () => this.#cancel(streamId);
  }

  close(): void {
    this.#break(new CallboardError(Code.CANCELLED, "CLIENT_CLOSED", "The client was closed."));
    this.#stream.cancel();
  }

  #cancel(streamId: bigint): void {
    if (this.#waiting.delete(streamId)) {
      this.#writer.push(
        toBinary(InvokeStreamRequestSchema, {
          $typeName: "callboard.gateway.v1.InvokeStreamRequest",
          calls: [],
          cancels: [streamId],
        }),
      );
    }
  }

  #receive(message: Buffer): void {
    try {
      for (const { streamId, outcome } of fromBinary(InvokeStreamResponseSchema, message).replies) {
        const done = this.#waiting.get(streamId);
        if (done !== undefined && outcome.case !== undefined) {
          this.#waiting.delete(streamId);
          done(outcome.case === "response" ? outcome : { case: "error", value: errorFromWire(outcome.value) });
        }
      }
    } catch (error) {
      this.#break(connectionLost(this.#server, error as Error));
      this.#stream.cancel();
    }
  }

  #break(error: CallboardError): void {
    if (this.broken) {
      return;
    }
    this.broken = true;
    this.#writer.close();
    this.#channel.close();
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    waiting.forEach((done) => done({ case: "error", value: error }));
  }
}
