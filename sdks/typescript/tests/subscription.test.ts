/**
 * How subscriptions end, and what they make of messages; the conformance suite plays how they go on.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { ServerWritableStream } from "@grpc/grpc-js";
import { Server, ServerCredentials } from "@grpc/grpc-js";

import { connect, defineChannel } from "@callboard/sdk";
import type { SubscribeRequest, SubscribeResponse } from "#sdk/gen/callboard/gateway/v1/gateway_pb";
import { SubscribeRequestSchema, SubscribeResponseSchema } from "#sdk/gen/callboard/gateway/v1/gateway_pb";
import { LoneSchema } from "../typetests/gen/unpackaged_pb.js";

type Stream = ServerWritableStream<SubscribeRequest, SubscribeResponse>;

/** A gateway that hands its subscriptions to `serve`, and a client for it. */
async function gateway(serve: (stream: Stream) => void) {
  const server = new Server();
  const subscribe = {
    path: "/callboard.gateway.v1.GatewayService/Subscribe",
    requestStream: false,
    responseStream: true,
    requestSerialize: (request: SubscribeRequest) => Buffer.from(toBinary(SubscribeRequestSchema, request)),
    requestDeserialize: (bytes: Buffer) => fromBinary(SubscribeRequestSchema, bytes),
    responseSerialize: (item: SubscribeResponse) => Buffer.from(toBinary(SubscribeResponseSchema, item)),
    responseDeserialize: (bytes: Buffer) => fromBinary(SubscribeResponseSchema, bytes),
  } as const;
  server.addService({ subscribe }, { subscribe: serve });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { client: connect(`127.0.0.1:${port}`), stop: () => server.forceShutdown() };
}

function said(id: string, data: Uint8Array, contentType: string): SubscribeResponse {
  const value = { channel: "c", id, resumeToken: id, body: { case: "payload", value: { contentType, data } } } as const;
  return create(SubscribeResponseSchema, { item: { case: "message", value } });
}

test("a loop that ends early closes its stream, and a client that is closed ends its subscriptions", async () => {
  const streams: Stream[] = [];
  const { client, stop } = await gateway((stream) => {
    streams.push(stream);
    stream.write(said("m1", Buffer.from('"hello"'), "application/json"));
  });
  for await (const item of client.subscribe("c")) {
    assert.equal(item.kind === "message" && item.message, "hello");
    break;
  }
  const [first] = streams;
  if (first?.cancelled === false) {
    await once(first, "cancelled");
  }
  const items = client.subscribe("c");
  assert.equal((await items.next()).done, false);
  const next = items.next();
  client.close();
  await assert.rejects(next, { reason: "CLIENT_CLOSED" });
  await assert.rejects(client.subscribe("c").next(), { reason: "CLIENT_CLOSED" });
  stop();
});

test("a message that its channel cannot read costs itself and not the subscription", async () => {
  const { client, stop } = await gateway((stream) => {
    stream.write(said("m1", Buffer.from("{}"), "application/json"));
    stream.write(said("m2", toBinary(LoneSchema, create(LoneSchema)), "application/protobuf"));
    stream.write(said("m3", Buffer.from([1, 2]), "image/png"));
  });
  const typed = client.subscribe(defineChannel("c", LoneSchema));
  const first = (await typed.next()).value;
  assert.throws(() => first?.kind === "message" && first.message, { reason: "INVALID_MESSAGE" });
  const second = (await typed.next()).value;
  assert.equal(second?.kind === "message" && second.message.$typeName, LoneSchema.typeName);
  await typed.return();
  const named = client.subscribe("c");
  await named.next();
  await named.next();
  const third = (await named.next()).value;
  assert.deepEqual(third?.kind === "message" && new Uint8Array(third.message as Uint8Array), new Uint8Array([1, 2]));
  await named.return();
  client.close();
  stop();
});
