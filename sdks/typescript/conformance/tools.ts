/**
 * The commands about schedules, single actors and dead letters.
 */
import type { Client, OverlapPolicy, PointInHistory, Schedule, ScheduleSpec, ScheduleTimes } from "@callboard/sdk";
import { jsonAction, to } from "@callboard/sdk";

interface Spec {
  readonly type: string;
  readonly key: string;
  readonly action: string;
  readonly argument?: unknown;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly at_ms?: number;
  readonly delay_ms?: number;
  readonly every_ms?: number;
  readonly cron?: string;
  readonly time_zone?: string;
  readonly jitter_ms?: number;
  readonly overlap?: OverlapPolicy;
  readonly catch_up_ms?: number;
  readonly starts_at_ms?: number;
  readonly ends_at_ms?: number;
  readonly max_firings?: number;
}

/** The fields of these commands; which of them are there depends on the command. */
export interface Tool {
  readonly op: string;
  readonly type: string;
  readonly key: string;
  readonly action: string;
  readonly name: string;
  readonly spec: Spec;
  readonly paused?: boolean;
  readonly if_generation?: number;
  readonly prefix?: string;
  readonly count?: number;
  readonly after_ms?: number;
  readonly revision?: number;
  readonly time_ms?: number;
  readonly source_type?: string;
  readonly letter: string;
}

/** Runs one of these commands. */
export async function tools(client: Client, command: Tool): Promise<unknown> {
  const { op, name } = command;
  const { schedules } = client;
  switch (op) {
    case "create_schedule": {
      const { paused = false } = command;
      const named = (name as string | undefined) === undefined ? {} : { name };
      return told(await schedules.create(specOf(command.spec), { ...named, paused }));
    }
    case "update_schedule": {
      const generation = command.if_generation === undefined ? {} : { ifGeneration: command.if_generation };
      return told(await schedules.update(name, specOf(command.spec), generation));
    }
    case "get_schedule":
      return told(await schedules.get(name));
    case "pause_schedule":
      return told(await schedules.pause(name));
    case "resume_schedule":
      return told(await schedules.resume(name));
    case "trigger_schedule":
      return told(await schedules.trigger(name));
    case "delete_schedule":
      return schedules.delete(name);
    case "list_schedules":
      return (await all(schedules.list({ prefix: command.prefix ?? "" }))).map(told);
    case "preview_schedule": {
      const { count = 0, after_ms } = command;
      const after = after_ms === undefined ? {} : { after: new Date(after_ms) };
      const times = await schedules.preview(specOf(command.spec), { count, ...after });
      return times.map((time) => time.getTime());
    }
    default:
      return actorTools(client, command);
  }
}

async function actorTools({ actors, deadLetters }: Client, command: Tool): Promise<unknown> {
  const { op, type, key, letter } = command;
  const def = { type, actions: {} };
  switch (op) {
    case "checkpoint_actor":
      return { revision: Number(await actors.checkpoint(def, key)) };
    case "deactivate_actor":
      return actors.deactivate(def, key);
    case "delete_actor":
      return { revision: Number(await actors.delete(def, key)) };
    case "history":
      return (await all(actors.history(def, key))).map(({ revision, committedAt, stateBytes }) => ({
        revision: Number(revision),
        committed_at_ms: committedAt.getTime(),
        state_bytes: stateBytes,
      }));
    case "state_at": {
      const { revision, committedAt, state, tags } = await actors.stateAt(def, key, pointOf(command));
      return { revision: Number(revision), committed_at_ms: committedAt.getTime(), state, tags };
    }
    case "restore_actor": {
      const { revision, restored } = await actors.restore(def, key, pointOf(command));
      return { revision: Number(revision), restored: Number(restored) };
    }
    case "list_dead_letters":
      return (await all(deadLetters.list({ sourceType: command.source_type ?? "" }))).map((dead) => ({
        letter: dead.id,
        source: dead.source,
        target: dead.target,
        action: dead.action,
        argument: dead.argument ?? null,
        request_id: dead.requestId,
        reason: dead.error?.reason,
        message: dead.error?.message,
        attempts: dead.attempts,
        created_at_ms: dead.createdAt.getTime(),
        died_at_ms: dead.diedAt.getTime(),
      }));
    case "retry_dead_letter":
      return deadLetters.retry(letter);
    case "drop_dead_letter":
      return deadLetters.drop(letter);
    default:
      throw new Error(`There is no command "${op}".`);
  }
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) {
    list.push(item);
  }
  return list;
}

function pointOf({ revision, time_ms }: Tool): PointInHistory {
  return revision ?? new Date(time_ms ?? 0);
}

function specOf(spec: Spec): ScheduleSpec {
  const { type, key, action, argument, metadata = {}, overlap } = spec;
  return {
    call: to({ type, actions: { it: jsonAction<unknown, unknown>(action) } }, key).it(argument),
    metadata,
    ...timesOf(spec),
    ...(spec.time_zone === undefined ? {} : { timeZone: spec.time_zone }),
    ...(spec.jitter_ms === undefined ? {} : { jitter: spec.jitter_ms }),
    ...(overlap === undefined ? {} : { overlap }),
    ...(spec.catch_up_ms === undefined ? {} : { catchUp: spec.catch_up_ms }),
    ...(spec.starts_at_ms === undefined ? {} : { startsAt: new Date(spec.starts_at_ms) }),
    ...(spec.ends_at_ms === undefined ? {} : { endsAt: new Date(spec.ends_at_ms) }),
    ...(spec.max_firings === undefined ? {} : { maxFirings: spec.max_firings }),
  };
}

function timesOf({ at_ms, delay_ms, every_ms, cron = "" }: Spec): ScheduleTimes {
  if (at_ms !== undefined) {
    return { at: new Date(at_ms) };
  }
  if (delay_ms !== undefined) {
    return { delay: delay_ms };
  }
  return every_ms === undefined ? { cron } : { every: every_ms };
}

function told(schedule: Schedule): unknown {
  const { name, target, action, argument, paused, generation, fired, missed, failed } = schedule;
  return {
    name,
    type: target.type,
    key: target.key,
    action,
    argument: argument ?? null,
    paused,
    generation,
    next_ms: schedule.next?.getTime() ?? null,
    fired,
    missed,
    failed,
    last_fired_ms: schedule.lastFired?.getTime() ?? null,
    last_error: schedule.lastError ?? null,
  };
}
