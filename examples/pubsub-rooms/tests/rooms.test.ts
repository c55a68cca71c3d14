/** Rooms and members alone, in this process. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { TestKit } from "@callboard/sdk/testing";

import { HEARD_MAX, member, room, said } from "../src/rooms.js";

test("what is said is counted by its room and broadcast once, even if the reply is lost", async () => {
  const lobby = TestKit.of(room, "lobby");
  await lobby.say({ from: "ada", text: "hello" });
  const twice = { from: "ada", text: "anybody?" };
  await assert.rejects(lobby.say(twice, { idempotencyKey: "k", fault: "after-commit" }));
  assert.equal(await lobby.say(twice, { idempotencyKey: "k" }), 2);
  assert.deepEqual(
    lobby.broadcasts.map(({ channel, message }) => [channel, message]),
    [
      [said.name, { room: "lobby", number: 1, from: "ada", text: "hello" }],
      [said.name, { room: "lobby", number: 2, ...twice }],
    ],
  );
});

test("nothing is broadcast when nothing is said", async () => {
  const lobby = TestKit.of(room, "lobby");
  await assert.rejects(lobby.say({ from: "ada", text: " " }), { reason: "NOTHING_SAID" });
  assert.deepEqual(lobby.broadcasts, []);
});

test("a member keeps the newest of what is said where it is", async () => {
  const bob = TestKit.of(member, "bob");
  await bob.join("lobby");
  await bob.hear({ room: "garden", number: 1, from: "ada", text: "not here" });
  for (let number = 1; number <= HEARD_MAX + 1; number += 1) {
    await bob.hear({ room: "lobby", number, from: "ada", text: "hi" });
  }
  await bob.leave("lobby");
  await bob.hear({ room: "lobby", number: HEARD_MAX + 2, from: "ada", text: "too late" });
  const numbers = (await bob.heard()).map((message) => message.number);
  assert.deepEqual([numbers.length, numbers[0], numbers.at(-1)], [HEARD_MAX, 2, HEARD_MAX + 1]);
});
