/**
 * What the types of generated code allow, and what they must refuse.
 */
import { create } from "@bufbuild/protobuf";

import type { Ctx } from "@callboard/sdk";
import type { SettingsFor } from "@callboard/sdk";
import { actorOf, connect, jsonAction, serve, to } from "@callboard/sdk";
import { TestKit } from "@callboard/sdk/testing";

import { LoneSchema } from "./gen/unpackaged_pb.js";
import type { Part as CommonPart } from "./gen/acme/common/shared_pb.js";
import type { NotesCtx, NotesReadCtx, ShopCtx, ShopReadCtx } from "./gen/acme/v1/matrix_actor.js";
import { NotesActor, NotesClient, ShopActor, ShopClient, ShopDef } from "./gen/acme/v1/matrix_actor.js";
import type { AddRequest, Everything_Nested } from "./gen/acme/v1/matrix_pb.js";
import { Everything_Nested_Mode, EverythingSchema, PartSchema } from "./gen/acme/v1/matrix_pb.js";

export class Shop extends ShopActor {
  override initial() {
    return { mode: Everything_Nested_Mode.FAST };
  }

  async add(ctx: ShopCtx, request: AddRequest) {
    ctx.state.mode = Everything_Nested_Mode.FAST;
    ctx.state.outer = create(EverythingSchema, { parts: { a: { count: 1 } } });
    ctx.tags["shop"] = request.shop;
    const text: string = await new NotesClient(ctx).ref("log").read().then(({ name }) => name);
    // @ts-expect-error a message of another type is no state
    ctx.state.outer = create(LoneSchema);
    return { parts: { [text]: { count: request.part?.count ?? 0 } } };
  }

  getHttpStatus(ctx: ShopReadCtx) {
    const mode: Everything_Nested_Mode = ctx.state.mode;
    // @ts-expect-error a reading action cannot change its state
    ctx.state.mode = Everything_Nested_Mode.FAST;
    // @ts-expect-error nor anything inside it
    ctx.state.outer!.parts["a"] = create(PartSchema);
    // @ts-expect-error nor its tags
    ctx.tags["a"] = "b";
    return { value: String(mode) };
  }

  delete() {}

  constructor$() {
    return { in: "here" };
  }

  tellLater(ctx: ShopCtx) {
    return { label: ctx.self.key };
  }
}

// @ts-expect-error an actor without one of its actions is not complete
export class Incomplete extends ShopActor {
  async add() {
    return {};
  }

  delete() {}

  constructor$() {
    return {};
  }

  tellLater() {
    return {};
  }
}

export class WrongReply extends Shop {
  // @ts-expect-error a reply has the fields of its message
  override async add() {
    return { parts: { a: { count: "many" } } };
  }
}

export class WrongRequest extends Shop {
  // @ts-expect-error a request is the message of its rpc
  override async add(_ctx: ShopCtx, request: CommonPart) {
    return { parts: { [request.label]: {} } };
  }
}

interface Entries {
  lines: string[];
}

export class Notes extends NotesActor<Entries> {
  readonly #limit: number;

  constructor(limit: number) {
    super();
    this.#limit = limit;
  }

  initial(): Entries {
    return { lines: [] };
  }

  write(ctx: NotesCtx<Entries>, { name }: { name: string }) {
    ctx.state.lines = [...ctx.state.lines, name].slice(-this.#limit);
    // @ts-expect-error the state is what initial() says
    ctx.state.lines = "text";
  }

  read(ctx: NotesReadCtx<Entries>) {
    // @ts-expect-error a list of a reading action's state has no push
    ctx.state.lines.push("x");
    return { name: ctx.state.lines.join() };
  }
}

export class Stateless extends NotesActor {
  initial() {}

  write() {}

  read(_ctx: NotesReadCtx<void>) {
    return { name: "always" };
  }
}

export async function callers(): Promise<void> {
  const connection = connect({ server: "127.0.0.1:7070", timeout: "2s" });
  const shop = new ShopClient(connection).ref();
  const reply = await shop.add({ shop: "s", part: { count: 1 } }, { timeout: "1.5s", idempotencyKey: "k" });
  const count: number | undefined = reply.parts["a"]?.count;
  void count;
  // @ts-expect-error an amount of parts is a number
  await shop.add({ part: { count: 1n } });
  // @ts-expect-error a field that the message does not have
  await shop.add({ shop: "s", shops: 1 });
  // @ts-expect-error a duration has a unit
  await shop.add({}, { timeout: "2 sec" });
  // @ts-expect-error an action that the service does not have
  await shop.remove({});
  // @ts-expect-error only named actors go without a key
  new NotesClient(connection).ref();
  await connection.send(shop, ShopDef.actions.add, { shop: "s" });
  // @ts-expect-error the argument of another action
  await connection.send(shop, ShopDef.actions.add, { label: "s" });
  const { state } = await connection.getState(ShopDef, "acme.Shop");
  const nested: Everything_Nested | undefined = state;
  void nested;
}

export async function hosts(): Promise<void> {
  await serve({ actors: [Shop, Stateless, actorOf(Notes.def, () => new Notes(10))] });
  // @ts-expect-error a class whose constructor needs something goes through actorOf
  await serve({ actors: [Notes] });
  // @ts-expect-error an abstract class cannot be run
  await serve({ actors: [ShopActor] });
}

export async function kits(): Promise<void> {
  const kit = TestKit.of(Shop);
  const reply = await kit.add({ shop: "x" }, { attempt: 2, fault: "before-commit" });
  const parts: number = Object.keys(reply.parts).length;
  void parts;
  const mode: Everything_Nested_Mode = kit.state.mode;
  void mode;
  await kit.delete();
  await kit.actions.delete({}, { idempotencyKey: "k" });
  kit.stub(NotesActor, { read: () => ({ name: "stub" }) });
  // @ts-expect-error a stand-in answers what the action answers
  kit.stub(NotesActor, { read: () => ({ label: "stub" }) });
  // @ts-expect-error a stand-in for an action that there is not
  kit.stub(NotesActor, { erase: () => ({}) });
  // @ts-expect-error the argument is checked here too
  await kit.add({ part: 1 });
  const notes = TestKit.of(Stateless, "n");
  await notes.write({ name: "line" });
}

export function helpers(ctx: Ctx<Entries>): void {
  // @ts-expect-error who is called is not for the action to say
  ctx.self = { system: "s", type: "t", key: "k" };
}

const wide = { type: "Wide", actions: { add: jsonAction<AddRequest, string>("add") } };

/** A shop that leaves its answers to others. */
export abstract class Handing extends ShopActor {
  static readonly settings: SettingsFor<typeof ShopDef> = {
    timers: { delete: "30s" },
    channels: { shops: "add", other: { action: "tellLater", deliver: "active" } },
    history: { revisions: 5 },
  };

  override async add(ctx: ShopCtx, request: AddRequest) {
    ctx.tell(to(ShopDef).delete());
    ctx.tell(to(ShopActor).add({ shop: "b" }), { delay: "5s" });
    // @ts-expect-error a message has no such field
    ctx.tell(to(ShopDef).add({ shops: "b" }));
    return request.shop === "a" ? ctx.pipe(to(ShopDef, "b").add({ shop: "b" })) : ctx.forward(to(ShopDef, "b").add);
  }
}

/** A shop that leaves its answers to the wrong ones. */
export abstract class Mishanding extends ShopActor {
  static readonly settings: SettingsFor<typeof ShopDef> = {
    // @ts-expect-error there is no such action
    timers: { remove: "30s" },
  };

  // @ts-expect-error the next actor answers something else
  override async add(ctx: ShopCtx) {
    return ctx.forward(to(wide, "w").add);
  }

  // @ts-expect-error the next actor takes something else
  override tellLater(ctx: ShopCtx) {
    return ctx.forward(to(ShopDef, "b").constructor$);
  }
}

export const handing = actorOf(ShopDef, () => new Shop(), { timers: { add: "1s" } });

// @ts-expect-error there is no such action
export const mishanding = actorOf(ShopDef, () => new Shop(), { timers: { remove: "1s" } });
