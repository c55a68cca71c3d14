/**
 * Makes what users register (generated classes, factories, JSON actors) into the one form that hosts and the test kit
 * run, and into the definitions that the server is told.
 */
import type { DescFile } from "@bufbuild/protobuf";
import { create, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";

import type { Actor, ActorClass, ActorFactory } from "./actor.js";
import type { Codec } from "./codec.js";
import { jsonCodec, protobufCodec } from "./codec.js";
import type {
  ActorDef,
  ActorSettings,
  AnyAction,
  Deliver as DeliverName,
  Durability as DurabilityName,
  Kind as KindName,
} from "./definition.js";
import type { Duration } from "./duration.js";
import { toMillis } from "./duration.js";
import type { ActorTypeDefinition } from "./gen/callboard/type/v1/type_pb.js";
import { ActorTypeDefinitionSchema, Deliver, Durability, Kind } from "./gen/callboard/type/v1/type_pb.js";
import type { JsonActor } from "./json-actor.js";

/** Whatever can be registered as an actor type. */
export type AnyActor = ActorClass | ActorFactory | JsonActor<any, any, any>;

/** An action that can be run. */
export interface BoundAction {
  readonly def: AnyAction;
  /** Runs the action on a context. May throw, and may give a promise. */
  readonly run: (context: unknown, argument: unknown) => unknown;
}

/** An actor type that can be run. */
export interface Binding {
  readonly def: ActorDef;
  /** By wire name. */
  readonly actions: ReadonlyMap<string, BoundAction>;
  readonly state: Codec<unknown>;
  /** The state of an actor that has none yet. */
  readonly initial: () => unknown;
}

type Method = (context: unknown, argument: unknown) => unknown;

/**
 * Binds an actor.
 *
 * @throws TypeError if a class lacks the method of an action, or its settings name an action that it has not.
 */
export function bind(actor: AnyActor): Binding {
  if ("handlers" in actor) {
    const { handlers, initial } = actor;
    return bindWith(actor, initial, (_method, name) => handlers[name] as Method);
  }
  const def = withSettings(actor.def, actor.settings);
  const make = (typeof actor === "function" ? () => new actor() : actor.create) as () => object;
  const sample = make() as Record<string, Method>;
  return bindWith(
    def,
    () => (make() as Actor<unknown>).initial(),
    (method) => {
      if (typeof sample[method] !== "function") {
        throw new TypeError(`The class for actor type "${def.type}" has no method "${method}".`);
      }
      return (context, argument) => {
        const object = make() as Record<string, Method>;
        return object[method]?.(context, argument);
      };
    },
  );
}

function bindWith(
  def: ActorDef,
  initial: () => unknown,
  method: (method: string, name: string) => Method,
): Binding {
  const state = (def.state === undefined ? jsonCodec() : protobufCodec(def.state)) as Codec<unknown>;
  const schema = def.state;
  checkSettings(def);
  const actions = new Map<string, BoundAction>();
  for (const [name, action] of Object.entries(def.actions)) {
    actions.set(action.name, { def: action, run: method(name, action.name) });
  }
  return {
    def,
    actions,
    state,
    initial: schema === undefined ? initial : () => create(schema, initial() as never),
  };
}

function withSettings(def: ActorDef, settings: ActorSettings | undefined): ActorDef {
  return settings === undefined ? def : { ...def, settings: { ...def.settings, ...settings } };
}

/** The action that hears of a channel, unless the settings name one. */
const RECEIVE = "receive";

/** What a type hears: channel, action by the name that TypeScript code uses, and who gets it. */
function subscriptionsOf({ channels = {} }: ActorSettings): readonly [string, string, DeliverName | undefined][] {
  return Object.entries(channels).map(([channel, how]) =>
    typeof how === "string" ? [channel, how, undefined] : [channel, how.action ?? RECEIVE, how.deliver],
  );
}

/**
 * Checks that the settings of a type name actions that it has.
 *
 * @throws TypeError if one does not.
 * @internal
 */
export function checkSettings(def: ActorDef): void {
  const settings = def.settings ?? {};
  const check = (what: string, name: string): void => {
    if (!Object.hasOwn(def.actions, name)) {
      throw new TypeError(`Actor "${def.type}": ${what} names the action "${name}", which it has not.`);
    }
  };
  Object.keys(settings.timers ?? {}).forEach((name) => check("a timer", name));
  subscriptionsOf(settings).forEach(([channel, name]) => check(`the channel "${channel}"`, name));
}

const DELIVERS: Record<DeliverName, Deliver> = { active: Deliver.ACTIVE, every: Deliver.EVERY };

const KINDS: Record<KindName, Kind> = { named: Kind.NAMED, unnamed: Kind.UNNAMED };
const DURABILITIES: Record<DurabilityName, Durability> = {
  durable: Durability.DURABLE,
  snapshot: Durability.SNAPSHOT,
  volatile: Durability.VOLATILE,
};

/** What the server is told of an actor type. */
export function definitionOf(def: ActorDef): ActorTypeDefinition {
  const settings = def.settings ?? {};
  const millis = (duration: Duration | undefined): bigint => BigInt(duration === undefined ? 0 : toMillis(duration));
  return create(ActorTypeDefinitionSchema, {
    name: def.type,
    kind: settings.pooled === undefined ? KINDS[settings.kind ?? "unnamed"] : Kind.POOLED,
    durability:
      settings.pooled === undefined ? DURABILITIES[settings.durability ?? "durable"] : Durability.UNSPECIFIED,
    actions: Object.values(def.actions).map((action) => ({
      name: action.name,
      inputType: action.input.typeName,
      outputType: action.output.typeName,
      readOnly: action.readOnly,
      speculationOff: action.speculationOff,
    })),
    stateType: def.state?.typeName ?? "",
    service: def.service?.typeName ?? "",
    idleTimeoutMs: millis(settings.idleTimeout),
    snapshotIntervalMs: millis(settings.snapshotInterval),
    turnTimeoutMs: millis(settings.turnTimeout),
    mailboxLimit: settings.mailboxLimit ?? 0,
    shards: settings.shards ?? 0,
    speculationOff: settings.speculationOff ?? false,
    timers: Object.entries(settings.timers ?? {}).map(([name, interval]) => ({
      action: wireName(def, name),
      intervalMs: millis(interval),
    })),
    subscriptions: subscriptionsOf(settings).map(([channel, name, deliver]) => ({
      channel,
      action: wireName(def, name),
      deliver: deliver === undefined ? Deliver.UNSPECIFIED : DELIVERS[deliver],
    })),
    poolMin: settings.pooled?.min ?? 0,
    poolMax: settings.pooled?.max ?? 0,
    historyRevisions: settings.history?.revisions ?? 0,
    historyAgeMs: millis(settings.history?.age),
  });
}

function wireName(def: ActorDef, name: string): string {
  return def.actions[name]?.name ?? name;
}

/** A serialised FileDescriptorSet with all messages that the types name; empty if none uses protobuf. */
export function descriptorSetOf(defs: readonly ActorDef[]): Uint8Array {
  const files = new Map<string, DescFile>();
  const add = (file: DescFile): void => {
    if (!files.has(file.name)) {
      file.dependencies.forEach(add);
      files.set(file.name, file);
    }
  };
  for (const def of defs) {
    [def.service?.file, def.state?.file].forEach((file) => file && add(file));
    for (const action of Object.values(def.actions)) {
      [action.input.schema?.file, action.output.schema?.file].forEach((file) => file && add(file));
    }
  }
  if (files.size === 0) {
    return new Uint8Array();
  }
  const file = [...files.values()].map(({ proto }) => proto);
  return toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file }));
}
