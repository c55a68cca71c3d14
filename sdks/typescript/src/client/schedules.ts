/**
 * Schedules: calls that are made by the clock, whether or not anybody is there to make them.
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { toJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";

import { addressToId, idToAddress } from "../address.js";
import { decodeLoosely } from "../codec.js";
import type { Call } from "../describe.js";
import type { Duration } from "../duration.js";
import { toMillis } from "../duration.js";
import type { Schedule as WireSchedule, ScheduleSpec as WireSpec } from "../gen/callboard/control/v1/schedules_pb.js";
import { Overlap, ScheduleSpecSchema, SchedulesService } from "../gen/callboard/control/v1/schedules_pb.js";
import type { Payload } from "../gen/callboard/type/v1/type_pb.js";
import { uuidv7 } from "../ids.js";
import type { ActorAddress } from "../invoker.js";
import { unixMillis } from "../turn/outputs.js";
import type { Control, ToolOptions } from "./control.js";
import { dateOf } from "./control.js";

/** What to do when a call is due while the one before it still runs: miss it, make it afterwards, or make it at once. */
export type OverlapPolicy = "skip" | "queue" | "allow";

/** When a schedule fires. */
export type ScheduleTimes =
  /** Once, at this time. */
  | { readonly at: Date; readonly delay?: never; readonly every?: never; readonly cron?: never }
  /** Once, this long after it was made. */
  | { readonly delay: Duration; readonly at?: never; readonly every?: never; readonly cron?: never }
  /** At this interval, counted from `startsAt` or from when it was made. At least 100 ms. */
  | { readonly every: Duration; readonly at?: never; readonly delay?: never; readonly cron?: never }
  /** By a cron line with five or six fields (seconds first), or @hourly, @daily, @weekly, @monthly, @yearly. */
  | { readonly cron: string; readonly at?: never; readonly delay?: never; readonly every?: never };

/** When, whom and how a schedule calls. */
export type ScheduleSpec = {
  /** What it calls: `to(report, "daily").send({ to: "all" })`. */
  readonly call: Call;
  /** Text that travels with each call. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Cron: the time zone, as "Europe/Berlin". Default UTC. */
  readonly timeZone?: string;
  /** Each call is put off by up to this much, evenly spread. Default 0. */
  readonly jitter?: Duration;
  /** Default "skip". */
  readonly overlap?: OverlapPolicy;
  /** Calls that are later than this are missed and not made up for. Default 60 s. */
  readonly catchUp?: Duration;
  /** No call before this time. */
  readonly startsAt?: Date;
  /** No call after this time. */
  readonly endsAt?: Date;
  /** Ends after this many calls. */
  readonly maxFirings?: number;
} & ScheduleTimes;

/** A schedule as it stands. */
export interface Schedule {
  /** Its name within the system. */
  readonly name: string;
  /** Whom it calls. */
  readonly target: ActorAddress;
  /** Which action, by wire name. */
  readonly action: string;
  /** With what: the value if it is JSON, else the bytes of the message. */
  readonly argument: unknown;
  /** True if it does not fire until it is resumed. */
  readonly paused: boolean;
  /** Raised with each update. */
  readonly generation: number;
  /** When it is due next; undefined if it has ended. */
  readonly next: Date | undefined;
  /** How often it fired. */
  readonly fired: number;
  /** How many calls were missed: too late, paused, or skipped. */
  readonly missed: number;
  /** How many calls ended with an error. */
  readonly failed: number;
  /** When it fired last. */
  readonly lastFired: Date | undefined;
  /** Why the newest call failed; undefined if it did not. */
  readonly lastError: string | undefined;
  /** When it was made. */
  readonly createdAt: Date | undefined;
  /** Its spec, as the protocol has it. */
  readonly spec: WireSpec | undefined;
}

const { method: methods } = SchedulesService;
const OVERLAPS: Record<OverlapPolicy, Overlap> = {
  skip: Overlap.SKIP,
  queue: Overlap.QUEUE,
  allow: Overlap.ALLOW,
};

/** The schedules of a client's system. Every method throws a CallboardError if the server refuses. */
export class Schedules {
  readonly #control: Control;

  /** @internal */
  constructor(control: Control) {
    this.#control = control;
  }

  /**
   * Makes a schedule. Making one again that is the same changes nothing.
   *
   * @param options `name` is made up if it is missing; `paused` to make it paused.
   */
  async create(
    spec: ScheduleSpec,
    options: ToolOptions & { readonly name?: string; readonly paused?: boolean } = {},
  ): Promise<Schedule> {
    // Made up here, so that a retry makes no second one, even if the first has fired or was deleted since.
    const { name = uuidv7(), paused = false } = options;
    const request = { ...this.#named(name), spec: specOf(spec), paused, requestId: uuidv7() };
    return read((await this.#control.call(methods.createSchedule, request, options)).schedule);
  }

  /**
   * Gives a schedule another spec. It keeps its counters.
   *
   * @param options `ifGeneration` refuses unless the schedule has it.
   */
  async update(
    name: string,
    spec: ScheduleSpec,
    options: ToolOptions & { readonly ifGeneration?: number } = {},
  ): Promise<Schedule> {
    const ifGeneration = BigInt(options.ifGeneration ?? 0);
    const request = { ...this.#named(name), spec: specOf(spec), ifGeneration };
    return read((await this.#control.call(methods.updateSchedule, request, options)).schedule);
  }

  /** Describes a schedule. */
  async get(name: string, options?: ToolOptions): Promise<Schedule> {
    return read((await this.#control.call(methods.getSchedule, this.#named(name), options)).schedule);
  }

  /** Lists schedules by name, with one call per page. */
  async *list(options: ToolOptions & { readonly prefix?: string } = {}): AsyncGenerator<Schedule, void, undefined> {
    let pageToken = "";
    do {
      const request = { system: this.#control.system, namePrefix: options.prefix ?? "", pageToken };
      const page = await this.#control.call(methods.listSchedules, request, options);
      yield* page.schedules.map(read);
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
  }

  /** Keeps a schedule from firing until it is resumed. */
  async pause(name: string, options?: ToolOptions): Promise<Schedule> {
    return read((await this.#control.call(methods.pauseSchedule, this.#named(name), options)).schedule);
  }

  /** Lets a schedule fire again; what was due meanwhile counts as missed. */
  async resume(name: string, options?: ToolOptions): Promise<Schedule> {
    return read((await this.#control.call(methods.resumeSchedule, this.#named(name), options)).schedule);
  }

  /** Fires a schedule now, beside its own times; a paused one too. */
  async trigger(name: string, options?: ToolOptions): Promise<Schedule> {
    const request = { ...this.#named(name), requestId: uuidv7() };
    return read((await this.#control.call(methods.triggerSchedule, request, options)).schedule);
  }

  /** Deletes a schedule. A call that was handed to its actor still runs. */
  async delete(name: string, options?: ToolOptions): Promise<void> {
    const request = { ...this.#named(name), requestId: uuidv7() };
    await this.#control.call(methods.deleteSchedule, request, options);
  }

  /** Says when a spec would fire next, without making a schedule. Fewer times than asked for if it ends. */
  async preview(
    spec: ScheduleSpec,
    options: ToolOptions & { readonly count?: number; readonly after?: Date } = {},
  ): Promise<readonly Date[]> {
    const afterMs = options.after === undefined ? 0n : BigInt(unixMillis(options.after));
    const request = { spec: specOf(spec), count: options.count ?? 0, afterMs };
    const { timesMs } = await this.#control.call(methods.previewSchedule, request, options);
    return timesMs.map((time) => new Date(Number(time)));
  }

  #named(name: string): { system: string; name: string } {
    return { system: this.#control.system, name };
  }
}

type SpecInit = Exclude<MessageInitShape<typeof ScheduleSpecSchema>, WireSpec>;

function specOf(spec: ScheduleSpec): SpecInit {
  const { target, action, argument } = spec.call;
  const value = action.input.encode(argument) as Payload | undefined;
  const millis = (duration: Duration | undefined): bigint => BigInt(duration === undefined ? 0 : toMillis(duration));
  const time = (date: Date | undefined): bigint => BigInt(date === undefined ? 0 : unixMillis(date));
  return {
    target: addressToId(target),
    action: action.name,
    ...(value === undefined ? {} : { argument: { case: "payload", value } }),
    metadata: { ...spec.metadata },
    when: timesOf(spec),
    timeZone: spec.timeZone ?? "",
    jitterMs: millis(spec.jitter),
    overlap: spec.overlap === undefined ? Overlap.UNSPECIFIED : OVERLAPS[spec.overlap],
    catchupWindowMs: millis(spec.catchUp),
    startsAtMs: time(spec.startsAt),
    endsAtMs: time(spec.endsAt),
    maxFirings: BigInt(spec.maxFirings ?? 0),
  };
}

function timesOf({ at, delay, every, cron }: ScheduleTimes): NonNullable<SpecInit["when"]> {
  if (at !== undefined) {
    return { case: "atMs", value: BigInt(unixMillis(at)) };
  }
  if (delay !== undefined) {
    return { case: "delayMs", value: BigInt(toMillis(delay)) };
  }
  return every === undefined
    ? { case: "cron", value: cron ?? "" }
    : { case: "intervalMs", value: BigInt(toMillis(every)) };
}

function read(from: WireSchedule | undefined): Schedule {
  const spec = from?.spec;
  const argument = spec?.argument;
  return {
    name: from?.name ?? "",
    target: idToAddress(spec?.target),
    action: spec?.action ?? "",
    argument:
      argument?.case === "json" ? toJson(ValueSchema, argument.value) : decodeLoosely(argument?.value),
    paused: from?.paused ?? false,
    generation: Number(from?.generation ?? 0n),
    next: dateOf(from?.nextMs ?? 0n),
    fired: Number(from?.fired ?? 0n),
    missed: Number(from?.missed ?? 0n),
    failed: Number(from?.failed ?? 0n),
    lastFired: dateOf(from?.lastFiredMs ?? 0n),
    lastError: from?.lastError || undefined,
    createdAt: dateOf(from?.createdMs ?? 0n),
    spec,
  };
}
