/**
 * The stream transport: all attempts share one `InvokeStream`. Calls that are made in one turn of the event loop leave in
 * one message, which is what makes many small calls cheap. A broken stream fails the attempts on it; the next attempt
 * opens a new one, at another node if there is one. A node that only refuses calls keeps its stream for those that it
 * has taken.
 */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Client as Channel, ClientDuplexStream, ServiceError } from "@grpc/grpc-js";

import { CallboardError, Code, errorFromWire } from "../errors.js";
import type { InvokeRequest } from "../gen/callboard/gateway/v1/gateway_pb.js";
import {
  GatewayService,
  InvokeStreamRequestSchema,
  InvokeStreamResponseSchema,
} from "../gen/callboard/gateway/v1/gateway_pb.js";
import { BatchWriter } from "../wire/batch.js";
import type { ServerOptions } from "../wire/channel.js";
import { CONNECT_TIMEOUT_MS, openChannel } from "../wire/channel.js";
import { Nodes } from "./nodes.js";
import { connectionLost, errorFromStatus, UNEXPLAINED } from "./status.js";
import type { AttemptEnd, Transport } from "./transport.js";

const STREAM_PATH = `/${GatewayService.typeName}/${GatewayService.method.invokeStream.name}`;

/** Most calls under way on one stream. */
const IN_FLIGHT_MAX = 65_536;

/** Codes with which proxies and runtimes end streams; for the calls on it that is a lost connection like any other. */
const LOST_CODES: ReadonlySet<number> = new Set([
  Code.CANCELLED,
  Code.UNKNOWN,
  Code.RESOURCE_EXHAUSTED,
  Code.ABORTED,
  Code.OUT_OF_RANGE,
  Code.INTERNAL,
]);

type Done = (end: AttemptEnd) => void;

/** Sends all attempts over one stream. */
export class StreamTransport implements Transport {
  readonly #nodes: Nodes<Connection>;
  #closed = false;

  constructor(options: ServerOptions) {
    this.#nodes = new Nodes(options, (address, failover) => new Connection(address, options, failover));
  }

  attempt(request: InvokeRequest, done: Done): () => void {
    if (this.#closed) {
      const error = new CallboardError(Code.CANCELLED, "CLIENT_CLOSED", "The client was closed.");
      setImmediate(() => done({ case: "error", value: error }));
      return () => undefined;
    }
    const { address } = this.#nodes;
    const ended: Done = (end) => {
      if (end.case === "error") {
        this.#nodes.failed(address, end.value);
      }
      done(end);
    };
    let connection: Connection;
    try {
      connection = this.#nodes.connection(({ broken }) => !broken);
    } catch (error) {
      // The address is none that gRPC can read; another one may be.
      setImmediate(() => ended({ case: "error", value: connectionLost(address, error as Error) }));
      return () => undefined;
    }
    return connection.attempt(request, ended);
  }

  close(): void {
    this.#closed = true;
    for (const connection of this.#nodes.opened) {
      connection.close();
    }
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

  constructor(address: string, options: ServerOptions, failover: boolean) {
    this.#server = address;
    this.#channel = openChannel(address, options, failover);
    this.#channel.waitForReady(Date.now() + CONNECT_TIMEOUT_MS, (error) => {
      if (error !== undefined) {
        this.#break(connectionLost(this.#server, error));
        this.#stream.cancel();
      }
    });
    this.#stream = this.#channel.makeBidiStreamRequest(
      STREAM_PATH,
      (message: Buffer) => message,
      (message: Buffer) => message,
    );
    this.#writer = new BatchWriter(this.#stream);
    this.#stream.on("data", (message: Buffer) => this.#receive(message));
    this.#stream.on("error", (error: ServiceError) => this.#break(this.#explain(error)));
    this.#stream.on("end", () => this.#break(connectionLost(this.#server)));
  }

  attempt(call: InvokeRequest, done: Done): () => void {
    this.#next += 1n;
    const streamId = this.#next;
    const message = toBinary(InvokeStreamRequestSchema, {
      $typeName: "callboard.gateway.v1.InvokeStreamRequest",
      calls: [{ $typeName: "callboard.gateway.v1.StreamCall", streamId, call }],
      cancels: [],
    });
    const refusal = this.#refusal(message.length);
    if (refusal !== undefined) {
      setImmediate(() => done({ case: "error", value: refusal }));
      return () => undefined;
    }
    this.#waiting.set(streamId, done);
    this.#writer.push(message);
    return () => this.#cancel(streamId);
  }

  /** Keeps one call from breaking the stream under all others. */
  #refusal(bytes: number): CallboardError | undefined {
    const { maxBytes } = this.#writer;
    if (bytes > maxBytes) {
      return new CallboardError(
        Code.INVALID_ARGUMENT,
        "PAYLOAD_TOO_LARGE",
        `The call has ${bytes} bytes, the limit is ${maxBytes}. It was not sent; make its argument smaller.`,
        { metadata: { limit: String(maxBytes) } },
      );
    }
    if (this.#waiting.size >= IN_FLIGHT_MAX) {
      return new CallboardError(
        Code.RESOURCE_EXHAUSTED,
        "TOO_MANY_CALLS",
        `This client has ${IN_FLIGHT_MAX} calls under way. The call was not sent; wait for some of them.`,
        { retry: "safe", metadata: { limit: String(IN_FLIGHT_MAX) } },
      );
    }
    return undefined;
  }

  #explain(error: ServiceError): CallboardError {
    const explained = errorFromStatus(error, this.#server);
    const told = explained.reason !== UNEXPLAINED && explained.reason !== "CANCELLED";
    return !told && LOST_CODES.has(error.code) ? connectionLost(this.#server, error) : explained;
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
