import assert from "node:assert/strict";
import { test } from "node:test";

import { Roster } from "#sdk/host/roster";

const node = (nodeId: number, address: string): { nodeId: bigint; address: string } => ({
  nodeId: BigInt(nodeId),
  address,
});
const CLUSTER = [node(1, "a:1"), node(2, "b:1"), node(3, "c:1")];

function wanted(roster: Roster): string[] {
  return [...roster.wanted()].sort();
}

test("a host wants the nodes that it was given and those that they tell of", () => {
  const roster = new Roster(["a:1", "x:1"], true);
  assert.deepEqual(wanted(roster), ["a:1", "x:1"]);
  assert.equal(roster.welcomed("a:1", 1n, CLUSTER), true);
  assert.deepEqual(wanted(roster), ["a:1", "b:1", "c:1", "x:1"]);
});

test("a sidecar host wants what it was given and nothing else", () => {
  const roster = new Roster(["a:1"], false);
  roster.welcomed("a:1", 1n, CLUSTER);
  roster.topology(9n, CLUSTER);
  assert.deepEqual(wanted(roster), ["a:1"]);
});

test("a node is served once, and its other names get their turn when that session is lost", () => {
  const roster = new Roster(["public:1"], true);
  roster.welcomed("public:1", 1n, CLUSTER);
  assert.deepEqual(wanted(roster), ["b:1", "c:1", "public:1"]);
  assert.equal(roster.welcomed("a:1", 1n, CLUSTER), false);
  roster.closed("public:1");
  assert.deepEqual(wanted(roster), ["b:1", "c:1", "public:1"], "the name that worked is tried first");
  roster.failed("public:1");
  assert.deepEqual(wanted(roster), ["a:1", "b:1", "c:1", "public:1"]);
  assert.equal(roster.welcomed("a:1", 1n, CLUSTER), true);
  assert.deepEqual(wanted(roster), ["a:1", "b:1", "c:1"]);
});

test("an address behind which another node answers now leaves the old one to its own address", () => {
  const roster = new Roster(["balancer:1"], true);
  roster.welcomed("balancer:1", 2n, CLUSTER);
  roster.welcomed("a:1", 1n, CLUSTER);
  assert.deepEqual(wanted(roster), ["a:1", "balancer:1", "c:1"]);
  roster.closed("balancer:1");
  assert.equal(roster.welcomed("balancer:1", 1n, CLUSTER), false);
  assert.deepEqual(wanted(roster), ["a:1", "b:1", "c:1"]);
});

test("a Topology replaces what was known, an older one and an old Welcome do not", () => {
  const roster = new Roster(["a:1"], true);
  roster.welcomed("a:1", 1n, CLUSTER);
  roster.topology(7n, [node(1, "a:1"), node(3, "c:2")]);
  assert.deepEqual(wanted(roster), ["a:1", "c:2"]);
  roster.topology(6n, CLUSTER);
  roster.welcomed("c:2", 3n, CLUSTER);
  assert.deepEqual(wanted(roster), ["a:1", "c:2"]);
  roster.topology(8n, CLUSTER);
  assert.deepEqual(wanted(roster), ["a:1", "b:1", "c:2"], "a session that works is not given up for a new name");
});

test("a host that lost every node believes the first that answers", () => {
  const roster = new Roster(["a:1"], true);
  roster.welcomed("a:1", 1n, CLUSTER);
  roster.topology(40n, CLUSTER);
  roster.closed("a:1");
  assert.deepEqual(wanted(roster), ["a:1", "b:1", "c:1"]);
  roster.welcomed("a:1", 1n, [node(1, "a:1")]);
  assert.deepEqual(wanted(roster), ["a:1"]);
  roster.topology(2n, [node(1, "a:1"), node(2, "d:1")]);
  assert.deepEqual(wanted(roster), ["a:1", "d:1"]);
});

test("a list without nodes and nodes without an address change nothing", () => {
  const roster = new Roster(["a:1"], true);
  roster.welcomed("a:1", 1n, [node(2, ""), node(3, "c:1")]);
  roster.topology(3n, []);
  assert.deepEqual(wanted(roster), ["a:1", "c:1"]);
});
