import assert from "node:assert/strict";
import { after, test } from "node:test";

import { create } from "@bufbuild/protobuf";

import type { Host, ServeOptions } from "@callboard/sdk";
import { ActorError, Code, defineActor, jsonAction, serve, silentLogger } from "@callboard/sdk";
import type { NodeFrame, TurnResult } from "#sdk/gen/callboard/host/v1/host_pb";
import { RegisteredSchema } from "#sdk/gen/callboard/host/v1/host_pb";
import type { Payload } from "#sdk/gen/callboard/type/v1/type_pb";
import type { NodeSession } from "./support/fake-node.js";
import { FakeNode, welcome } from "./support/fake-node.js";

let finish: () => void = () => undefined;

const other = { type: "Other", actions: { take: jsonAction<string, void>("take") } };

const subject = defineActor({
  type: "Subject",
  initial: () => ({ text: "" }),
  actions: {
    grow(ctx, size: number) {
      ctx.state.text += "x".repeat(size);
      return ctx.state.text.length;
    },
    large: (_ctx, size: number) => "y".repeat(size),
    complain(_ctx, size: number) {
      throw new ActorError(Code.ABORTED, "LONG_STORY", "z".repeat(size));
    },
    async pass(ctx, size: number) {
      await ctx.ref(other, "o").take("w".repeat(size));
    },
    async slow(ctx) {
      await new Promise<void>((resolve) => {
        finish = resolve;
      });
      return ctx.requestId;
    },
    async deaf() {
      await new Promise(() => undefined);
    },
  },
});

const nodes: FakeNode[] = [];
const hosts: Host[] = [];

after(async () => {
  nodes.forEach((node) => node.stop());
  await Promise.all(hosts.map((host) => host.stop()));
});

async function start(options: Partial<ServeOptions> = {}): Promise<{ host: Host; session: NodeSession; node: FakeNode }> {
  const node = await FakeNode.start();
  nodes.push(node);
  const serving = serve({
    actors: [subject],
    server: node.address,
    logger: silentLogger,
    handleSignals: false,
    ...options,
  });
  const session = await node.session();
  await session.accept();
  const host = await serving;
  hosts.push(host);
  return { host, session, node };
}

function json(value: unknown): Payload {
  return {
    $typeName: "callboard.type.v1.Payload",
    contentType: "application/json",
    typeUrl: "",
    data: Buffer.from(JSON.stringify(value)),
  };
}

function run(key: string, turns: [id: bigint, action: string, argument?: unknown, timeoutMs?: number][]): NodeFrame["frame"] {
  return {
    case: "run",
    value: {
      $typeName: "callboard.host.v1.TurnRun",
      actor: { $typeName: "callboard.type.v1.ActorId", system: "default", type: "Subject", key },
      activationId: 1n,
      epoch: 1n,
      state: { case: undefined },
      tags: {},
      turns: turns.map(([turnId, action, argument, timeoutMs = 30_000]) => ({
        $typeName: "callboard.host.v1.Turn",
        turnId,
        action,
        ...(argument === undefined ? {} : { payload: json(argument) }),
        requestId: `request-${turnId}`,
        createdAtMs: 0n,
        attempt: 1,
        timeoutMs,
        metadata: {},
        chain: [],
        revision: turnId,
        readOnly: false,
      })),
    },
  };
}

function reply(result: TurnResult): unknown {
  assert.equal(result.outcome.case, "reply", JSON.stringify(result.outcome.value, String));
  return JSON.parse(Buffer.from((result.outcome.value as Payload).data).toString());
}

function reason(result: TurnResult): string {
  assert.equal(result.outcome.case, "error");
  return (result.outcome.value as { reason: string }).reason;
}

test("two actors of one name are refused before anything is opened", async () => {
  await assert.rejects(serve({ actors: [subject, subject], handleSignals: false }), TypeError);
});

test("a reply or state over the node's limits is an error, and the state stays as it was", async () => {
  const { session } = await start();
  session.send(
    run("k", [
      [1n, "grow", 10],
      [2n, "large", 2 << 20],
      [3n, "grow", 2 << 20],
      [4n, "grow", 1],
    ]),
  );
  assert.equal(reply(await session.next("result")), 10);
  assert.equal(reason(await session.next("result")), "PAYLOAD_TOO_LARGE");
  assert.equal(reason(await session.next("result")), "STATE_TOO_LARGE");
  assert.equal(reply(await session.next("result")), 11);
});

test("errors and calls that no message can hold cost their turn and not the session", async () => {
  const { session } = await start();
  session.send(
    run("k", [
      [1n, "complain", 5 << 20],
      [2n, "pass", 2 << 20],
      [3n, "grow", 1],
    ]),
  );
  assert.equal(reason(await session.next("result")), "PAYLOAD_TOO_LARGE");
  assert.equal(reason(await session.next("result")), "PAYLOAD_TOO_LARGE");
  assert.equal(reply(await session.next("result")), 1);
});

test("a turn that ignores its time limit is answered, and the actor's next turn runs", async () => {
  const { session } = await start();
  session.send(
    run("k", [
      [1n, "deaf", undefined, 50],
      [2n, "grow", 1],
    ]),
  );
  assert.equal(reason(await session.next("result")), "DEADLINE_EXCEEDED");
  assert.equal(reply(await session.next("result")), 1);
});

test("results of one moment share a message", async () => {
  const { session } = await start();
  const before = session.messages;
  session.send(...Array.from({ length: 200 }, (_, index) => run(`k${index}`, [[BigInt(index + 1), "grow", index]])));
  for (let index = 0; index < 200; index += 1) {
    await session.next("result");
  }
  assert.ok(session.messages - before <= 10, `${session.messages - before} messages`);
});

test("a host that is stopped answers what it runs, and only then ends", async () => {
  const { host, session } = await start();
  session.send(run("k", [[1n, "slow"]]));
  session.send({ case: "ping", value: { $typeName: "callboard.host.v1.Ping", nonce: 1n } });
  await session.next("pong");
  const stopped = host.stop({ permanent: true });
  assert.equal((await session.next("drain")).permanent, true);
  session.send({ case: "drained", value: { $typeName: "callboard.host.v1.Drained" } });
  finish();
  assert.equal(reply(await session.next("result")), "request-1");
  session.end();
  await stopped;
  assert.equal(host.connected, false);
});

test("turns still running after the drain timeout are left to the server", async () => {
  const { host, session } = await start({ drainTimeout: 50 });
  session.send(run("k", [[1n, "deaf"]]));
  const stopped = host.stop();
  await session.next("drain");
  session.send({ case: "drained", value: { $typeName: "callboard.host.v1.Drained" } });
  await stopped;
});

test("a lost session is followed by another one", async () => {
  const { session, node } = await start();
  session.end();
  const next = await node.session();
  await next.accept();
  next.send(run("k", [[1n, "grow", 3]]));
  assert.equal(reply(await next.next("result")), 3);
});

test("every node of the cluster is served, with a share of the turns, and lost alone", async () => {
  const [one, two] = [await FakeNode.start(), await FakeNode.start()];
  nodes.push(one, two);
  const serving = serve({
    actors: [subject],
    server: one.address,
    maxConcurrentTurns: 90,
    logger: silentLogger,
    handleSignals: false,
  });
  const first = await one.session();
  assert.equal(await first.accept(1n, one, two), 90);
  const host = await serving;
  hosts.push(host);
  const second = await two.session();
  assert.equal(await second.accept(2n, one, two), 45);
  assert.equal((await first.next("credit")).turns, 45);
  second.send(run("k", [[1n, "grow", 3]]));
  assert.equal(reply(await second.next("result")), 3);
  two.stop();
  assert.equal((await first.next("credit")).turns, 90);
  first.send(run("k", [[1n, "grow", 4]]));
  assert.equal(reply(await first.next("result")), 4);
  assert.equal(host.connected, true);
});

test("a sidecar host is given one node", async () => {
  const options = { actors: [subject], handleSignals: false, mode: "sidecar" } as const;
  await assert.rejects(serve({ ...options, server: "a:1,b:1" }), TypeError);
});

test("a node that refuses the types does not end a host that others serve", async () => {
  const [one, two] = [await FakeNode.start(), await FakeNode.start()];
  nodes.push(one, two);
  const serving = serve({ actors: [subject], server: one.address, logger: silentLogger, handleSignals: false });
  const first = await one.session();
  await first.accept(1n, one, two);
  hosts.push(await serving);
  const second = await two.session();
  await second.next("hello");
  second.send({ case: "welcome", value: welcome(2n) });
  for (let attempt = 0; attempt < 2; attempt += 1) {
    const { registerId } = await second.next("register");
    const error = { code: Code.FAILED_PRECONDITION, reason: "INCOMPATIBLE_TYPE", message: "older" };
    second.send({ case: "registered", value: create(RegisteredSchema, { registerId, error }) });
  }
  first.send(run("k", [[1n, "grow", 4]]));
  assert.equal(reply(await first.next("result")), 4);
});
