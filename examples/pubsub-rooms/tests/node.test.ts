/** Rooms, members and listeners at a real node, which `npm test` starts. */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { type AddressInfo, connect as dial, createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";

import { type Client, connect, type Host, serve, silentLogger } from "@callboard/sdk";

import { member, room } from "../src/rooms.js";

const DEADLINE_MS = 60_000;
const POLL_MS = 20;
const CHAT = new URL("../src/chat.js", import.meta.url).pathname;

const server = process.env.CALLBOARD_SERVER ?? "";
let host: Host;
let client: Client;

before(async () => {
  assert.ok(server, "run the tests by `npm test`, which starts a node for them");
  host = await serve({ actors: [room, member], handleSignals: false, logger: silentLogger });
  client = connect();
});

after(async () => {
  client.close();
  await host.stop({ permanent: true });
});

test("members hear all that is said in their rooms, in order and once, and nothing else", async () => {
  for (const who of ["ann", "ben"]) {
    await client.ref(member, who).join("hall");
  }
  await client.ref(member, "ann").join("attic");
  for (let number = 1; number <= 5; number += 1) {
    for (const name of ["hall", "attic"]) {
      await client.ref(room, name).say({ from: "ann", text: `${name} ${number}` });
    }
  }
  const heard = async (who: string, name: string) =>
    (await client.ref(member, who).heard()).filter((message) => message.room === name).map(({ number }) => number);
  await until(async () => (await heard("ann", "attic")).length === 5 && (await heard("ben", "hall")).length === 5);
  await until(async () => (await heard("ann", "hall")).length === 5);
  assert.deepEqual(await heard("ann", "hall"), [1, 2, 3, 4, 5]);
  assert.deepEqual(await heard("ann", "attic"), [1, 2, 3, 4, 5]);
  assert.deepEqual(await heard("ben", "hall"), [1, 2, 3, 4, 5]);
  assert.deepEqual(await heard("ben", "attic"), []);
});

test("a listener that loses its connection prints what was said meanwhile", { timeout: DEADLINE_MS }, async () => {
  const line = await cable();
  const listener = spawn(process.execPath, [CHAT, "listen", "cellar"], {
    env: { ...process.env, CALLBOARD_SERVER: line.address },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const printed = createInterface(listener.stdout)[Symbol.asyncIterator]();
  const next = async () => (await printed.next()).value as string;
  const say = (text: string) => client.ref(room, "cellar").say({ from: "eve", text });
  try {
    await once(createInterface(listener.stderr), "line");
    await say("before");
    assert.equal(await next(), "cellar #1 eve: before");
    await line.cut();
    await say("meanwhile");
    await client.ref(room, "elsewhere").say({ from: "eve", text: "not for this listener" });
    await say("still away");
    await line.mend();
    assert.equal(await next(), "cellar #2 eve: meanwhile");
    assert.equal(await next(), "cellar #3 eve: still away");
    await say("after");
    assert.equal(await next(), "cellar #4 eve: after");
  } finally {
    listener.kill();
    await line.cut();
  }
});

test("the commands of the README print what it says", { timeout: 3 * DEADLINE_MS }, async () => {
  const readme = await readFile(new URL("../../README.md", import.meta.url), "utf8");
  const commands = [...readme.matchAll(/^npm run --silent chat -- (.*?)(?: +# (.*))?$/gm)].filter(
    ([, command]) => !command?.startsWith("listen"),
  );
  assert.ok(commands.length >= 4);
  for (const [, command = "", expected = ""] of commands) {
    const print = async () => (await promisify(execFile)("sh", ["-c", `node ${CHAT} ${command}`])).stdout.trim();
    if (command.startsWith("heard")) {
      // What is said is on its way to the members when `say` has answered.
      await until(async () => (await print()) === expected);
    } else {
      assert.equal(await print(), expected, command);
    }
  }
});

/** Waits for something that comes about by itself. */
async function until(happened: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + DEADLINE_MS;
  while (!(await happened())) {
    assert.ok(Date.now() < end, "it does not come about");
    await pause(POLL_MS);
  }
}

/** A way to the node that can be cut, and mended at the same address. */
async function cable() {
  const [, host = "", port = ""] = /^(.*):(\d+)$/.exec(server) ?? [];
  const ends = new Set<Socket>();
  const proxy = createServer((near) => {
    const far = dial(Number(port), host);
    for (const [from, to] of [[near, far], [far, near]] as const) {
      ends.add(from);
      from.on("error", () => undefined).on("close", () => to.destroy()).pipe(to);
    }
  });
  const listen = async (at: number) => {
    proxy.listen(at, "127.0.0.1");
    await once(proxy, "listening");
    return (proxy.address() as AddressInfo).port;
  };
  const own = await listen(0);
  return {
    address: `127.0.0.1:${own}`,
    mend: () => listen(own),
    cut: async () => {
      if (proxy.listening) {
        const closed = once(proxy, "close");
        proxy.close();
        ends.forEach((end) => end.destroy());
        ends.clear();
        await closed;
      }
    },
  };
}
