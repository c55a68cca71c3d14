/**
 * A node in this process, for tests that need the real stream: it speaks the host protocol through grpc-js, and the test
 * says what it sends. What the protocol demands is checked by the conformance suite; this is for what is ours.
 */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { ServerDuplexStream } from "@grpc/grpc-js";
import { Server, ServerCredentials } from "@grpc/grpc-js";

import type { ConnectRequest, HostFrame, NodeFrame, Welcome } from "#sdk/gen/callboard/host/v1/host_pb";
import { ConnectRequestSchema, ConnectResponseSchema, HostService, WelcomeSchema } from "#sdk/gen/callboard/host/v1/host_pb";
import type { InvokeStreamRequest, InvokeStreamResponse } from "#sdk/gen/callboard/gateway/v1/gateway_pb";
import {
  GatewayService,
  InvokeStreamRequestSchema,
  InvokeStreamResponseSchema,
} from "#sdk/gen/callboard/gateway/v1/gateway_pb";

type Frame = NodeFrame["frame"];
type Kind = NonNullable<HostFrame["frame"]["case"]>;
type ValueOf<K extends Kind> = NonNullable<Extract<HostFrame["frame"], { case: K }>["value"]>;

/** One host's session, seen from the node. */
export class NodeSession {
  /** Messages received so far. */
  messages = 0;
  /** If set, told how many results each message has, instead of keeping them. */
  onResults: ((count: number) => void) | undefined;
  readonly #stream: ServerDuplexStream<ConnectRequest, Buffer>;
  readonly #received: HostFrame["frame"][] = [];
  #wake: (() => void) | undefined;

  constructor(stream: ServerDuplexStream<ConnectRequest, Buffer>) {
    this.#stream = stream;
    stream.on("data", (message: ConnectRequest) => {
      this.messages += 1;
      if (this.onResults !== undefined) {
        this.onResults(message.frames.length);
        return;
      }
      this.#received.push(...message.frames.map(({ frame }) => frame));
      this.#wake?.();
    });
    stream.on("error", () => undefined);
  }

  /** Sends frames in one message. */
  send(...frames: Frame[]): void {
    const message = toBinary(ConnectResponseSchema, {
      $typeName: "callboard.host.v1.ConnectResponse",
      frames: frames.map((frame) => ({ $typeName: "callboard.host.v1.NodeFrame" as const, frame })),
    });
    this.#stream.write(Buffer.from(message));
  }

  /** The next frame of this kind; frames before it are dropped. */
  async next<K extends Kind>(kind: K): Promise<ValueOf<K>> {
    for (;;) {
      const frame = this.#received.shift();
      if (frame === undefined) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      } else if (frame.case === kind) {
        return frame.value as ValueOf<K>;
      }
    }
  }

  /** Answers Hello and Register, as this node of a cluster with these nodes. Gives the credits of Hello. */
  async accept(nodeId = 1n, ...nodes: FakeNode[]): Promise<number> {
    const { credits } = await this.next("hello");
    const named = nodes.map(({ address }, index) => ({
      $typeName: "callboard.type.v1.NodeAddress" as const,
      nodeId: BigInt(index + 1),
      address,
    }));
    this.send({ case: "welcome", value: welcome(nodeId, named) });
    const { registerId } = await this.next("register");
    this.send({
      case: "registered",
      value: { $typeName: "callboard.host.v1.Registered", registerId, viewVersion: 1n },
    });
    return credits;
  }

  /** Ends the stream from the node's side. */
  end(): void {
    this.#stream.end();
  }
}

/** The Welcome of a node. */
export function welcome(nodeId: bigint, nodes: Welcome["nodes"] = []): Welcome {
  return create(WelcomeSchema, {
    sessionId: 1n,
    nodeId,
    protocolMajor: 1,
    serverVersion: "fake",
    nodes,
    limits: {
      messageBytesMax: 4 << 20,
      payloadBytesMax: 1 << 20,
      stateBytesMax: 1 << 20,
      runTurnsMax: 64,
    },
  });
}

/** What the fake gateway answers to a batch of calls, or undefined for nothing. */
export type GatewayScript = (batch: InvokeStreamRequest) => InvokeStreamResponse | undefined;

/** A listening node. */
export class FakeNode {
  /** host:port. */
  readonly address: string;
  readonly #server: Server;
  readonly #sessions: NodeSession[] = [];
  #wake: (() => void) | undefined;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.address = `127.0.0.1:${port}`;
  }

  /** Starts a node on a free port. */
  static async start(gateway: GatewayScript = () => undefined): Promise<FakeNode> {
    const server = new Server();
    let node: FakeNode | undefined;
    server.addService(CONNECT, {
      connect: (stream: ServerDuplexStream<ConnectRequest, Buffer>) => node?.joined(new NodeSession(stream)),
    });
    server.addService(INVOKE_STREAM, {
      invokeStream: (stream: ServerDuplexStream<InvokeStreamRequest, InvokeStreamResponse>) => {
        stream.on("data", (batch: InvokeStreamRequest) => {
          const answer = gateway(batch);
          if (answer !== undefined) {
            stream.write(answer);
          }
        });
        stream.on("end", () => stream.end());
        stream.on("error", () => undefined);
      },
    });
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    node = new FakeNode(server, port);
    return node;
  }

  /** The next session that a host opens. */
  async session(): Promise<NodeSession> {
    for (;;) {
      const session = this.#sessions.shift();
      if (session !== undefined) {
        return session;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Ends everything at once. */
  stop(): void {
    this.#server.forceShutdown();
  }

  /** @internal */
  joined(session: NodeSession): void {
    this.#sessions.push(session);
    this.#wake?.();
  }
}

const stream = { requestStream: true, responseStream: true } as const;

const CONNECT = {
  connect: {
    ...stream,
    path: `/${HostService.typeName}/Connect`,
    requestSerialize: () => Buffer.alloc(0),
    requestDeserialize: (bytes: Buffer) => fromBinary(ConnectRequestSchema, bytes),
    responseSerialize: (bytes: Buffer) => bytes,
    responseDeserialize: () => undefined,
  },
};

const INVOKE_STREAM = {
  invokeStream: {
    ...stream,
    path: `/${GatewayService.typeName}/InvokeStream`,
    requestSerialize: () => Buffer.alloc(0),
    requestDeserialize: (bytes: Buffer) => fromBinary(InvokeStreamRequestSchema, bytes),
    responseSerialize: (answer: InvokeStreamResponse) => Buffer.from(toBinary(InvokeStreamResponseSchema, answer)),
    responseDeserialize: () => undefined,
  },
};
