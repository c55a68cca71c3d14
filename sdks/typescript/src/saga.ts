/**
 * Sagas: work in several steps over several actors, each with a compensation that takes it back. A saga does all its steps,
 * or takes back those that it did, whatever crashes. Its progress is a part of the state of one durable actor, the
 * coordinator; each turn that the coordinator tells itself runs one step. All SDKs do it alike: see sdks/SAGA.md.
 */
import type { Awaitable, Ctx, DeepReadonly } from "./actor.js";
import type { Duration } from "./duration.js";
import { ActorError, CallboardError, Code, isCallboardError } from "./errors.js";
import { uuidv7 } from "./ids.js";
import { TurnContext } from "./turn/context.js";

/** How a saga stands. */
export type SagaStatus = "running" | "done" | "compensating" | "compensated" | "failed";

/** One step of a saga. */
export interface SagaStep<State, Data> {
  /** Its name, unique within the saga. It is stored, so it must not change while sagas run. */
  readonly name: string;
  /**
   * Does the step. It may change `data` in place, or return the new one. Calls that it makes through `ctx` are applied once
   * however often the step is run; an ActorError says that it did nothing and that the saga is to be taken back.
   */
  readonly action: (ctx: Ctx<State>, data: Data) => Awaitable<Data | void>;
  /** Takes the step back, and is content with finding nothing to take back. */
  readonly compensate?: (ctx: Ctx<State>, data: Data) => Awaitable<Data | void>;
}

/** What is stored of a saga. */
export interface SagaProgress<Data> {
  /** Names the saga. */
  id: string;
  /** How it stands. */
  status: SagaStatus;
  /** The step that runs, or is compensated, next; the last one when the saga is over. */
  step: string;
  /** Counts the turns that were handed out. */
  turn: number;
  /** Counts the failures of the present step or compensation. */
  attempt: number;
  /** Those of them that were actor errors. */
  refused: number;
  /** The saga's own value. */
  data: Data;
  /** Why the saga is taken back, or the newest failure of the present step. */
  error: { step: string; reason: string; message: string } | null;
}

/** What the coordinator tells itself: to run a step, or to look whether a turn vanished. */
export interface SagaTurn {
  readonly saga: string;
  readonly turn?: number;
  readonly watch?: number;
}

/** What makes a saga. */
export interface SagaSpec<State, Data> {
  /** At least one. */
  readonly steps: readonly SagaStep<State, Data>[];
  /** Reads the progress from the coordinator's state. */
  readonly load: (state: State) => SagaProgress<Data> | undefined;
  /** Puts the progress into the coordinator's state. */
  readonly save: (state: State, progress: SagaProgress<Data>) => void;
  /** The coordinator's action that calls `turn`, by wire name. Default "saga". */
  readonly action?: string;
  /** How often a step or a compensation is tried. Default 10. */
  readonly attempts?: number;
  /** When a turn that vanished is handed out again; longer than the type's turn timeout. Default 1 minute. */
  readonly watch?: Duration;
}

const ATTEMPTS = 10;
const WATCH: Duration = "1m";
const RETRY_BASE_MS = 100;
const RETRY_MAX_MS = 10_000;
const ACTION = "saga";

/**
 * Defines a saga.
 *
 * @throws TypeError if it has no steps, or two of one name.
 */
export function defineSaga<State, Data>(spec: SagaSpec<State, Data>): Saga<State, Data> {
  return new Saga(spec);
}

/** A saga, for actors with this state. */
export class Saga<State, Data> {
  readonly #spec: SagaSpec<State, Data>;
  readonly #places = new Map<string, number>();

  /** @internal */
  constructor(spec: SagaSpec<State, Data>) {
    this.#spec = spec;
    spec.steps.forEach(({ name }, place) => this.#places.set(name, place));
    if (spec.steps.length === 0 || this.#places.size !== spec.steps.length) {
      throw new TypeError("A saga has at least one step, and no two of one name.");
    }
  }

  /**
   * Starts the saga in the coordinator's present turn; the steps run once it has committed.
   *
   * @returns The saga's id.
   * @throws ActorError SAGA_RUNNING while an earlier one is not at its end.
   */
  start(ctx: Ctx<State>, data: Data): string {
    const status = this.status(ctx.state);
    if (status === "running" || status === "compensating") {
      throw new ActorError(
        Code.FAILED_PRECONDITION,
        "SAGA_RUNNING",
        "A saga of this actor is not at its end. Nothing was started; wait for it, or use another key.",
      );
    }
    const id = uuidv7();
    const step = this.#step(0).name;
    const progress = { id, status: "running", step, turn: 1, attempt: 0, refused: 0, data, error: null } as const;
    this.#spec.save(ctx.state, { ...progress });
    this.#tell(ctx, { saga: id, turn: 1 }, 0);
    this.#watch(ctx, progress);
    return id;
  }

  /** How the saga of a coordinator stands; undefined before the first start. */
  status(state: State | DeepReadonly<State>): SagaStatus | undefined {
    return this.#spec.load(state as State)?.status;
  }

  /**
   * Goes on with a failed saga, with its attempts counted anew.
   *
   * @throws ActorError SAGA_NOT_FAILED if it is not.
   */
  resume(ctx: Ctx<State>): void {
    const progress = this.#load(ctx);
    if (progress?.status !== "failed") {
      throw new ActorError(Code.FAILED_PRECONDITION, "SAGA_NOT_FAILED", "Only a failed saga can be resumed.");
    }
    this.#again(ctx, { ...progress, status: "compensating", attempt: 0 }, 0);
    this.#watch(ctx, { ...progress, turn: progress.turn + 1 });
  }

  /** Runs what the coordinator told itself: all that its action for that does. */
  async turn(ctx: Ctx<State>, told: SagaTurn): Promise<void> {
    const progress = this.#load(ctx);
    if (progress === undefined || progress.id !== told.saga || !isUnderWay(progress)) {
      return;
    }
    if (told.watch) {
      this.#look(ctx, progress, told.watch);
    } else if (told.turn === progress.turn) {
      await this.#run(ctx, progress);
    }
  }

  async #run(ctx: Ctx<State>, progress: SagaProgress<Data>): Promise<void> {
    const { id, status, refused } = progress;
    const step = this.#step(this.#place(progress));
    const backwards = status === "compensating";
    const run = backwards ? step.compensate : step.action;
    const undo = backwards ? `/undo${refused === 0 ? "" : refused}` : "";
    try {
      const data = (await inner(ctx).named(`${id}/${step.name}${undo}`, () => run?.(ctx, progress.data))) as Data;
      this.#moveOn(ctx, { ...progress, data: data ?? progress.data });
    } catch (error) {
      if (inner(ctx).isOver) {
        throw error;
      }
      inner(ctx).undo();
      // What the step did to the progress that it was given is undone like the rest.
      this.#failed(ctx, this.#load(ctx) ?? progress, error);
    }
  }

  #moveOn(ctx: Ctx<State>, progress: SagaProgress<Data>): void {
    const backwards = progress.status === "compensating";
    let place = this.#place(progress) + (backwards ? -1 : 1);
    while (backwards && place >= 0 && this.#step(place).compensate === undefined) {
      place -= 1;
    }
    const moved = { ...progress, attempt: 0, refused: 0, error: backwards ? progress.error : null };
    if (place < 0 || place === this.#spec.steps.length) {
      this.#spec.save(ctx.state, { ...moved, status: backwards ? "compensated" : "done" });
    } else {
      this.#again(ctx, { ...moved, step: this.#step(place).name }, 0);
    }
  }

  #failed(ctx: Ctx<State>, progress: SagaProgress<Data>, error: unknown, delayMs?: number): void {
    const attempt = progress.attempt + 1;
    const backoffMs = Math.min(RETRY_MAX_MS, RETRY_BASE_MS * 2 ** (attempt - 1));
    const { reason, message } = isCallboardError(error)
      ? error
      : { reason: "ACTION_ERROR", message: error instanceof Error ? error.message : String(error) };
    // Why the saga is taken back stays, unless its compensation is given up.
    const told = progress.status === "running" || attempt >= (this.#spec.attempts ?? ATTEMPTS);
    const why = told ? { step: progress.step, reason, message } : progress.error;
    const failed = { ...progress, attempt, error: why };
    // Of errors that are meant for callers the stack is of no interest.
    const facts = isCallboardError(error) ? { reason, error: message } : { error };
    ctx.log.warn("a step of a saga failed", { saga: progress.id, step: progress.step, attempt, ...facts });
    if (progress.status === "running" && isRefusal(error)) {
      this.#takeBack(ctx, failed, this.#place(progress) - 1);
      return;
    }
    const refused = progress.refused + (isCallboardError(error) && error.fromActor ? 1 : 0);
    this.#tryAgain(ctx, { ...failed, refused }, delayMs ?? backoffMs);
  }

  /** Hands the present step out again, or gives it up: nobody knows what it did. */
  #tryAgain(ctx: Ctx<State>, progress: SagaProgress<Data>, delayMs: number): void {
    if (progress.attempt < (this.#spec.attempts ?? ATTEMPTS)) {
      this.#again(ctx, progress, delayMs);
    } else if (progress.status === "running") {
      this.#takeBack(ctx, progress, this.#place(progress));
    } else {
      this.#spec.save(ctx.state, { ...progress, status: "failed" });
    }
  }

  /** Begins to compensate, from this step on backwards. */
  #takeBack(ctx: Ctx<State>, progress: SagaProgress<Data>, from: number): void {
    let place = from;
    while (place >= 0 && this.#step(place).compensate === undefined) {
      place -= 1;
    }
    if (place < 0) {
      this.#spec.save(ctx.state, { ...progress, status: "compensated" });
      return;
    }
    const { name } = this.#step(place);
    this.#again(ctx, { ...progress, status: "compensating", step: name, attempt: 0, refused: 0 }, 0);
  }

  #look(ctx: Ctx<State>, progress: SagaProgress<Data>, watched: number): void {
    if (progress.turn === watched) {
      const error = new CallboardError(Code.UNKNOWN, "TURN_VANISHED", "A turn of the saga did not end.", {
        retry: "same-id",
      });
      this.#failed(ctx, progress, error, 0);
    }
    const now = this.#load(ctx);
    if (now !== undefined && isUnderWay(now)) {
      this.#watch(ctx, now);
    }
  }

  /** Hands out the next turn. */
  #again(ctx: Ctx<State>, progress: SagaProgress<Data>, delayMs: number): void {
    const turn = progress.turn + 1;
    this.#spec.save(ctx.state, { ...progress, turn });
    this.#tell(ctx, { saga: progress.id, turn }, delayMs);
  }

  #watch(ctx: Ctx<State>, { id, turn }: Pick<SagaProgress<Data>, "id" | "turn">): void {
    this.#tell(ctx, { saga: id, watch: turn }, this.#spec.watch ?? WATCH);
  }

  #tell(ctx: Ctx<State>, turn: SagaTurn, delay: Duration): void {
    ctx.tell(inner(ctx).own(this.#spec.action ?? ACTION, turn), delay === 0 ? {} : { delay });
  }

  #load(ctx: Ctx<State>): SagaProgress<Data> | undefined {
    return this.#spec.load(ctx.state);
  }

  #place(progress: SagaProgress<Data>): number {
    const place = this.#places.get(progress.step);
    if (place === undefined) {
      throw new CallboardError(
        Code.FAILED_PRECONDITION,
        "SAGA_STEP_UNKNOWN",
        `The saga stands at the step "${progress.step}", which this host does not know. Run a host that does.`,
      );
    }
    return place;
  }

  #step(place: number): SagaStep<State, Data> {
    return this.#spec.steps[place] as SagaStep<State, Data>;
  }
}

function isUnderWay({ status }: SagaProgress<unknown>): boolean {
  return status === "running" || status === "compensating";
}

/** True if the error says that nothing was done, and that trying again is of no use. */
function isRefusal(error: unknown): boolean {
  if (!isCallboardError(error)) {
    return false;
  }
  return error.fromActor || (error.retry === "never" && error.code !== Code.DEADLINE_EXCEEDED);
}

/** The context as the SDK made it. */
function inner(ctx: object): TurnContext {
  if (!(ctx instanceof TurnContext)) {
    throw new TypeError("A saga needs the context that the action was given.");
  }
  return ctx;
}
