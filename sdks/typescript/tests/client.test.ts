import assert from "node:assert/strict";
import { after, test } from "node:test";

import { create } from "@bufbuild/protobuf";

import type { Client } from "@callboard/sdk";
import { ActorError, CallboardError, Code, connect, jsonAction } from "@callboard/sdk";
import { Nodes } from "#sdk/client/nodes";
import type { InvokeStreamRequest, InvokeStreamResponse } from "#sdk/gen/callboard/gateway/v1/gateway_pb";
import { InvokeMode, InvokeStreamResponseSchema } from "#sdk/gen/callboard/gateway/v1/gateway_pb";
import { serverAddresses } from "#sdk/wire/channel";
import { FakeNode } from "./support/fake-node.js";

const echo = { type: "Echo", actions: { say: jsonAction<string, string>("say") } };
const nodes: FakeNode[] = [];
const clients: Client[] = [];

after(() => {
  clients.forEach((client) => client.close());
  nodes.forEach((node) => node.stop());
});

/** A gateway that answers every call with its own argument, and a client for it. */
async function start(seen: InvokeStreamRequest[] = []): Promise<Client> {
  const node = await FakeNode.start((batch) => {
    seen.push(batch);
    return answer(batch);
  });
  nodes.push(node);
  const client = connect({ server: node.address, metadata: { tenant: "t" } });
  clients.push(client);
  return client;
}

function answer(batch: InvokeStreamRequest): InvokeStreamResponse {
  const replies = batch.calls.map(({ streamId, call }) => ({
    streamId,
    outcome: {
      case: "response" as const,
      value: {
        requestId: call?.requestId ?? "",
        revision: 3n,
        durable: true,
        ...(call?.mode === InvokeMode.ASYNC || call?.argument.case !== "payload"
          ? {}
          : { reply: { case: "payload" as const, value: call.argument.value } }),
      },
    },
  }));
  return create(InvokeStreamResponseSchema, { replies });
}

test("an invocation tells what the reply stands on", async () => {
  const client = await start();
  const target = { system: "default", type: "Echo", key: "k" };
  const invoked = await client.invoke(target, echo.actions.say, "hello", { idempotencyKey: "id-1" });
  assert.deepEqual(invoked, { reply: "hello", requestId: "id-1", revision: 3n, durable: true });
});

test("an asynchronous call is accepted without a reply", async () => {
  const seen: InvokeStreamRequest[] = [];
  const client = await start(seen);
  const accepted = await client.send(client.ref(echo, "k"), echo.actions.say, "later");
  assert.equal(accepted.durable, true);
  assert.equal(seen[0]?.calls[0]?.call?.mode, InvokeMode.ASYNC);
  assert.equal(seen[0]?.calls[0]?.call?.requestId, accepted.requestId);
});

test("calls of one moment share a message, in order, with the client's metadata", async () => {
  const seen: InvokeStreamRequest[] = [];
  const client = await start(seen);
  const ref = client.ref(echo, "k");
  const texts = Array.from({ length: 100 }, (_, index) => `call ${index}`);
  assert.deepEqual(await Promise.all(texts.map((text) => ref.say(text))), texts);
  assert.equal(seen.length, 1);
  assert.equal(seen[0]?.calls[7]?.call?.metadata["tenant"], "t");
});

test("a call too large for the stream is refused alone", async () => {
  const client = await start();
  const ref = client.ref(echo, "k");
  const small = ref.say("small");
  await assert.rejects(ref.say("x".repeat(5 << 20)), { reason: "PAYLOAD_TOO_LARGE" });
  assert.equal(await small, "small");
});

test("a proxy of the environment is not asked for a server on this machine", async () => {
  process.env["http_proxy"] = "http://127.0.0.1:9";
  try {
    const client = await start();
    assert.equal(await client.ref(echo, "k").say("direct", { timeout: "5s" }), "direct");
  } finally {
    delete process.env["http_proxy"];
  }
});

test("a closed client refuses calls, those under way included", async () => {
  const node = await FakeNode.start();
  nodes.push(node);
  const client = connect(node.address);
  const waiting = assert.rejects(client.ref(echo, "k").say("x"), { reason: "CLIENT_CLOSED" });
  client.close();
  await waiting;
  await assert.rejects(client.ref(echo, "k").say("x"), { reason: "CLIENT_CLOSED" });
});

test("a client stays with a node until that one cannot answer, and then goes on to the next", () => {
  const opened: string[] = [];
  const pool = new Nodes({ server: "a:1,b:1,c:1" }, (address) => {
    opened.push(address);
    return address;
  });
  const failure = (reason: string): CallboardError => new CallboardError(Code.UNAVAILABLE, reason, "", { retry: "safe" });
  const first = pool.address;
  pool.failed(first, failure("NO_HOST"));
  pool.failed(first, new ActorError(Code.UNAVAILABLE, "SHUTTING_DOWN", "the actor's own word"));
  assert.equal(pool.connection(), first);
  pool.failed(first, failure("SHUTTING_DOWN"));
  pool.failed(first, failure("SHUTTING_DOWN"));
  const second = pool.address;
  assert.notEqual(second, first);
  pool.failed(second, failure("LEASE_LOST"));
  assert.equal(new Set([first, second, pool.address]).size, 3);
  pool.failed(pool.address, failure("CONNECTION_LOST"));
  assert.equal(pool.connection(), first);
  assert.deepEqual(opened, [first], "a connection is kept for calls that are under way on it");
});

test("addresses come from a list, from a text with commas, and from the environment", () => {
  assert.deepEqual(serverAddresses({ server: ["a:1", " http://b:2/ ", "a:1"] }), ["a:1", "b:2"]);
  assert.deepEqual(serverAddresses({ server: "a:1,, b:2" }), ["a:1", "b:2"]);
  const before = process.env["CALLBOARD_SERVER"];
  process.env["CALLBOARD_SERVER"] = "c:3,d:4";
  assert.deepEqual(serverAddresses({}), ["c:3", "d:4"]);
  process.env["CALLBOARD_SERVER"] = "";
  assert.deepEqual(serverAddresses({}), ["127.0.0.1:7070"]);
  if (before === undefined) {
    delete process.env["CALLBOARD_SERVER"];
  } else {
    process.env["CALLBOARD_SERVER"] = before;
  }
});
