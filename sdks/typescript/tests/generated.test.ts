import assert from "node:assert/strict";
import { test } from "node:test";

import { create, createFileRegistry, equals, fromBinary, toBinary, toJson } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";

import type { Actor } from "@callboard/sdk";
import { actorOf } from "@callboard/sdk";
import { bind, definitionOf, descriptorSetOf } from "#sdk/binding";
import { Deliver, Durability, Kind } from "#sdk/gen/callboard/type/v1/type_pb";
import { LegacySchema, Level } from "../typetests/gen/acme/v1/legacy_pb.js";
import { NotesDef, ShopDef } from "../typetests/gen/acme/v1/matrix_actor.js";
import { Everything_Nested_Mode, Everything_NestedSchema, EverythingSchema } from "../typetests/gen/acme/v1/matrix_pb.js";

test("a generated message keeps every field through its encoding", () => {
  const message = create(EverythingSchema, {
    aDouble: 0.5,
    anInt64: -(2n ** 62n),
    aUint64: 2n ** 63n,
    someBytes: new Uint8Array([1, 2]),
    maybe: "",
    many: [1n, -1n],
    parts: { a: { count: 3 } },
    colours: { 7: 1 },
    blobs: { "9": new Uint8Array([9]) },
    when: { seconds: 5n },
    anything: { list: [1, "two", null] },
    wrapped: "w",
    foreign: { label: "l" },
    legacy: { id: "i", level: Level.LOW },
    textNumber: "42",
    choice: { case: "mode", value: Everything_Nested_Mode.FAST },
    constructor$: "c",
    toString$: "t",
    field2x: "2",
  });
  const again = fromBinary(EverythingSchema, toBinary(EverythingSchema, message));
  assert.ok(equals(EverythingSchema, message, again));
  assert.equal(again.maybe, "");
  assert.equal(again.textNumber, "42");
  assert.deepEqual(toJson(EverythingSchema, create(EverythingSchema, { choice: message.choice })), { mode: "MODE_FAST" });
});

test("descriptors of nested types stand at the place that the runtime looks at", () => {
  assert.equal(EverythingSchema.typeName, "acme.v1.Everything");
  assert.equal(Everything_NestedSchema.typeName, "acme.v1.Everything.Nested");
  assert.equal(create(LegacySchema).count, 7);
});

test("settings in code go before those of the proto, under the names on the wire", () => {
  const create = () => ({ initial: () => ({}), ...methods }) as unknown as Actor<unknown>;
  const methods = Object.fromEntries(Object.keys(ShopDef.actions).map((name) => [name, () => undefined]));
  const settings = {
    timers: { getHttpStatus: "2s" },
    channels: { shops: "tellLater", others: { action: "add", deliver: "every" } },
    history: { revisions: 3, age: "1m" },
    turnTimeout: "9s",
  } as const;
  const shop = definitionOf(bind(actorOf(ShopDef, create, settings)).def);
  const told = shop.subscriptions.map(({ channel, action, deliver }) => [channel, action, deliver]);
  assert.deepEqual(told, [
    ["shops", "TellLater", Deliver.UNSPECIFIED],
    ["others", "Add", Deliver.EVERY],
  ]);
  assert.deepEqual(shop.timers.map(({ action, intervalMs }) => [action, intervalMs]), [["GetHTTPStatus", 2_000n]]);
  assert.deepEqual([shop.historyRevisions, shop.historyAgeMs, shop.turnTimeoutMs], [3, 60_000n, 9_000n]);
  assert.equal(shop.kind, Kind.NAMED);
});

test("a definition carries names, types and settings", () => {
  const shop = definitionOf(ShopDef);
  assert.equal(shop.name, "acme.Shop");
  assert.equal(shop.kind, Kind.NAMED);
  assert.equal(shop.durability, Durability.SNAPSHOT);
  assert.equal(shop.stateType, "acme.v1.Everything.Nested");
  assert.equal(shop.service, "acme.v1.Shop");
  assert.equal(shop.turnTimeoutMs, 2_000n);
  assert.equal(shop.speculationOff, true);
  const actions = shop.actions.map(({ name, readOnly, speculationOff }) => [name, readOnly, speculationOff]);
  assert.deepEqual(actions, [
    ["Add", false, false],
    ["GetHTTPStatus", true, false],
    ["delete", false, true],
    ["Constructor", false, false],
    ["TellLater", false, false],
  ]);
  assert.equal(definitionOf(NotesDef).stateType, "");
});

test("the registered descriptor set is complete and keeps the actor options", () => {
  const set = fromBinary(FileDescriptorSetSchema, descriptorSetOf([ShopDef]));
  const names = set.file.map(({ name }) => name);
  for (const file of set.file) {
    const own = names.indexOf(file.name);
    file.dependency.forEach((dependency) => assert.ok(names.indexOf(dependency) < own, `${dependency} comes first`));
  }
  const registry = createFileRegistry(set);
  assert.ok(registry.getService("acme.v1.Shop"));
  const options = set.file.find(({ name }) => name === "acme/v1/matrix.proto")?.service[0]?.options;
  assert.deepEqual(options?.$unknown?.map(({ no }) => no), [50801]);
});
