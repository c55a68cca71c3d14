/** Orders, stock and purses together: their hosts in three languages, killed in the middle of orders, at a real node. */
import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";

import { type Client, connect, jsonAction } from "@callboard/sdk";

import * as sold from "../src/order.js";

/** Many times what a host takes to start on a busy machine. */
const DEADLINE_MS = 120_000;
const POLL_MS = 50;
const ORDERS = 30;
const ROOT = new URL("../../../../../", import.meta.url).pathname;

interface Shelf {
  available: number;
  reserved: Record<string, number>;
  sent: Record<string, number>;
}
interface Purse {
  balance: number;
  paid: Record<string, number>;
}

const shelf = { type: "Stock", actions: { add: jsonAction<number, number>("add"), show: jsonAction<void, Shelf>("show") } };
const purse = {
  type: "Payment",
  actions: { deposit: jsonAction<number, number>("deposit"), show: jsonAction<void, Purse>("show") },
};

type HostName = "order" | "stock" | "payment";
const NAMES: readonly HostName[] = ["order", "stock", "payment"];
const hosts = new Map<HostName, ChildProcess>();
let client: Client;

before(async () => {
  assert.ok(process.env.CALLBOARD_SERVER, "run this by `npm run test:hosts`, which starts a node for it");
  client = connect();
  NAMES.forEach(start);
  // Calls to a type that no host ever registered are refused at once; later ones wait for a host.
  for (const reading of [
    () => client.ref(sold.order, "none").status(),
    () => client.ref(shelf, "none").show(),
    () => client.ref(purse, "none").show(),
  ]) {
    await until(() => reading().then(() => true, () => false), "a host");
  }
});

after(async () => {
  client.close();
  await Promise.all([...hosts.keys()].map(kill));
});

test("an order that can be carried out is reserved, paid and sent", { timeout: DEADLINE_MS }, async () => {
  const shop = await aShop("coffee");
  await shop.order("o1", {});
  assert.deepEqual(await shop.end("o1"), { status: "done", did: ["reserve", "charge", "send"], why: null });
  assert.deepEqual(await shop.books(), {
    shelf: { available: 98, reserved: {}, sent: { "coffee-o1": 2 } },
    purse: { balance: 94, paid: { "coffee-o1": 6 } },
  });
});

test("an order that is refused at a step leaves nothing behind", { timeout: DEADLINE_MS }, async () => {
  const shop = await aShop("cocoa");
  const untouched = await shop.books();
  const undone = ["undo charge", "undo reserve"];
  for (const [key, wish, did, why] of [
    ["too-many", { count: 101, price: 0 }, [], "OUT_OF_STOCK"],
    ["too-dear", { price: 51 }, ["reserve", "undo reserve"], "NOT_ENOUGH_MONEY"],
    ["nowhere", { address: "" }, ["reserve", "charge", ...undone], "NO_ADDRESS"],
  ] as const) {
    await shop.order(key, wish);
    assert.deepEqual(await shop.end(key), { status: "compensated", did, why });
    assert.deepEqual(await shop.books(), untouched, key);
  }
});

test("an order whose host is killed within a step goes on", { timeout: 3 * DEADLINE_MS }, async () => {
  const shop = await aShop("mate");
  await kill("payment");
  await shop.order("o1", {});
  // The order now waits for the purse, in a turn of the host that is killed.
  await until(async () => (await shop.books({ purse: false })).shelf.reserved["mate-o1"] === 2);
  await kill("order");
  NAMES.filter((name) => !hosts.has(name)).forEach(start);
  assert.deepEqual(await shop.end("o1"), { status: "done", did: ["reserve", "charge", "send"], why: null });
  assert.deepEqual((await shop.books()).purse, { balance: 94, paid: { "mate-o1": 6 } });
});

test("all orders come to their ends while every host is killed once", { timeout: 3 * DEADLINE_MS }, async () => {
  const shop = await aShop("soup");
  const placed: string[] = [];
  for (let number = 0; number < ORDERS; number += 1) {
    // Every third one has no address, and is taken back from its last step.
    const address = number % 3 === 0 ? "" : "Main St 1";
    await shop.order(`o${number}`, { count: 1, price: 1, address });
    placed.push(`o${number}`);
    const victim = NAMES[(number - 5) / 10];
    if (victim !== undefined) {
      await kill(victim);
      start(victim);
    }
  }
  const statuses: string[] = [];
  for (const key of placed) {
    statuses.push((await shop.end(key)).status);
  }
  const back = ORDERS / 3;
  assert.equal(statuses.filter((status) => status === "compensated").length, back);
  const books = await shop.books();
  assert.deepEqual([books.shelf.available, books.purse.balance], [100 - ORDERS + back, 100 - ORDERS + back]);
  assert.deepEqual(books.shelf.reserved, {});
  assert.deepEqual(Object.keys(books.shelf.sent).sort(), Object.keys(books.purse.paid).sort());
});

test("the commands of the README print what it says", { timeout: 3 * DEADLINE_MS }, async () => {
  const readme = await readFile(`${ROOT}examples/order-saga/README.md`, "utf8");
  const commands = [...readme.matchAll(/^(callboard invoke .*?)(?: +# (.*))?$/gm)];
  assert.ok(commands.length >= 5);
  for (const [, command = "", expected = ""] of commands) {
    // The README has documents on one line.
    const print = async () => (await promisify(execFile)("sh", ["-c", command])).stdout.replace(/\s+/g, "");
    const says = expected.replace(/\s+/g, "");
    if (/ (status|show)$/.test(command)) {
      // An order is under way when `place` has answered.
      await until(async () => (await print()) === says, command);
    } else {
      assert.equal(await print(), says, command);
    }
  }
});

/** A shop with a hundred of one item, and a customer with a hundred to spend, of that name too. */
async function aShop(item: string) {
  const options = { timeout: DEADLINE_MS };
  await client.ref(shelf, item).add(100, options);
  await client.ref(purse, item).deposit(100, options);
  const order = (key: string) => client.ref(sold.order, `${item}-${key}`);
  return {
    order: (key: string, wish: Partial<sold.Wish>) =>
      order(key).place({ customer: item, item, count: 2, price: 3, address: "Main St 1", ...wish }, options),
    async end(key: string) {
      await until(async () => /^(done|compensated|failed)$/.test((await order(key).status(undefined, options)).status), key);
      return order(key).status(undefined, options);
    },
    async books({ purse: withPurse = true } = {}) {
      return {
        shelf: await client.ref(shelf, item).show(undefined, options),
        purse: withPurse ? await client.ref(purse, item).show(undefined, options) : { balance: 0, paid: {} },
      };
    },
  };
}

/** Waits for something that comes about by itself. */
async function until(happened: () => Promise<boolean>, what = "it"): Promise<void> {
  const end = Date.now() + DEADLINE_MS;
  while (!(await happened())) {
    assert.ok(Date.now() < end, `${what} does not come about`);
    await pause(POLL_MS);
  }
}

/** Starts a host, in a process group of its own. */
function start(name: HostName): void {
  const script = `${ROOT}tests/scripts/order-saga.sh`;
  hosts.set(name, spawn(script, ["run", name], { detached: true, stdio: ["ignore", "ignore", "inherit"] }));
}

/** Kills a host with SIGKILL. */
async function kill(name: HostName): Promise<void> {
  const child = hosts.get(name);
  hosts.delete(name);
  if (child?.pid !== undefined && child.exitCode === null) {
    const gone = once(child, "exit");
    process.kill(-child.pid, "SIGKILL");
    await gone;
  }
}
