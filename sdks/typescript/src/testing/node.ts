/**
 * The node that the test kit stands in for: activation, mailbox, commit and outcomes of one actor.
 */
import type { Binding } from "../binding.js";
import { samePayload } from "../codec.js";
import type { AnyAction } from "../definition.js";
import type { Duration } from "../duration.js";
import { toMillis } from "../duration.js";
import { CallboardError, Code, errorFromWire } from "../errors.js";
import type { Payload } from "../gen/callboard/type/v1/type_pb.js";
import type { ActorAddress } from "../invoker.js";
import type { Logger } from "../logger.js";
import type { CallRequest } from "../turn/calls.js";
import type { ActorImage, TurnEnd, TurnOutcome, TurnSpec } from "../turn/execution.js";
import { Execution } from "../turn/execution.js";
import { StubRegistry } from "./stubs.js";
import type { CallMade, OwnTell } from "./outbox.js";
import { KitOutbox } from "./outbox.js";
import type { KitCallOptions } from "./test-kit.js";
import { KitTimers } from "./timers.js";

/** A call to the actor under test. */
export interface KitCall {
  readonly action: AnyAction;
  readonly argument: unknown;
  readonly options: KitCallOptions;
  readonly timeoutMs: number;
}

/** The end of a call. */
export interface KitReply {
  readonly reply: Payload | undefined;
  readonly requestId: string;
  readonly revision: bigint;
  readonly durable: boolean;
}

interface Outcome {
  readonly action: string;
  readonly argument: Payload | undefined;
  readonly outcome: TurnOutcome;
  readonly revision: bigint;
}

interface World {
  readonly now: () => number;
  readonly logger: Logger;
}

const INIT_NAMES = ["init", "Init", "setup", "Setup"] as const;
const DEFAULT_IDLE_MS = 60_000;
const DEFAULT_TURN_TIMEOUT: Duration = "30s";
const BLANK: ActorImage = { state: undefined, tags: {} };

/** Runs the calls of one actor, one after the other. */
export class KitNode {
  /** What is committed. */
  image: ActorImage = BLANK;
  revision = 0n;
  active = false;
  readonly calls: CallMade[] = [];
  readonly outbox: KitOutbox;
  readonly stubs = new StubRegistry();

  readonly #binding: Binding;
  readonly #self: ActorAddress;
  readonly #world: World;
  readonly #outcomes = new Map<string, Outcome>();
  readonly #idleMs: number;
  readonly #timers: KitTimers;
  #epoch = 1n;
  #requests = 0;
  #lastCallMs: number;
  #running: Execution | undefined;
  #tail: Promise<unknown> = Promise.resolve();

  constructor(binding: Binding, self: ActorAddress, world: World) {
    this.#binding = binding;
    this.#self = self;
    this.#world = world;
    this.#lastCallMs = world.now();
    this.outbox = new KitOutbox(self);
    this.#timers = new KitTimers(binding.def);
    const idle = binding.def.settings?.idleTimeout;
    this.#idleMs = idle === undefined ? DEFAULT_IDLE_MS : toMillis(idle);
  }

  /** Queues a call behind those before it, as an actor's mailbox does. */
  call(call: KitCall): Promise<KitReply> {
    const end = this.#tail.then(() => this.#serve(call));
    this.#tail = end.catch(() => undefined);
    return end;
  }

  /** Loses the activation once the calls so far are done. */
  async restart(): Promise<void> {
    await this.#tail;
    this.#deactivate();
    this.#epoch += 1n;
  }

  /** Runs what the actor told itself, as far as it is due, and answers how many turns that were. */
  async deliver(fault: KitCallOptions["fault"]): Promise<number> {
    let delivered = 0;
    for (; (this.outbox.dueMs ?? Infinity) <= this.#world.now(); delivered += 1) {
      await this.#deliver(this.outbox.shift() as OwnTell, fault);
    }
    return delivered;
  }

  /** Moves the time, with everything that happens on the way in its order. */
  async pass(untilMs: number, setNow: (nowMs: number) => void): Promise<void> {
    const { kind } = this.#binding.def.settings ?? {};
    if (kind === "named" && !this.#timers.none && this.#running === undefined) {
      // It is in memory from its registration on.
      await this.#activate();
    }
    while (this.#running === undefined) {
      const timerMs = this.active ? this.#timers.dueMs : Infinity;
      const ownMs = this.outbox.dueMs ?? Infinity;
      const eventMs = Math.min(timerMs, ownMs, this.#idleAtMs);
      if (eventMs > untilMs) {
        break;
      }
      setNow(Math.max(this.#world.now(), eventMs));
      if (eventMs === ownMs) {
        await this.#deliver(this.outbox.shift() as OwnTell, undefined);
      } else if (eventMs === timerMs) {
        await this.#tick();
      } else {
        this.#deactivate();
      }
    }
    setNow(untilMs);
    if (this.#running !== undefined && untilMs >= this.#running.deadlineMs) {
      this.#running.abort("timeout");
    }
  }

  async #deliver(told: OwnTell, fault: KitCallOptions["fault"]): Promise<void> {
    this.#requests += 1;
    const { action, payload, metadata } = told;
    const idempotencyKey = `test-delivery-${this.#requests}`;
    const attempt = (options: KitCallOptions): Promise<unknown> =>
      this.call({
        action,
        argument: action.input.decode(payload) as unknown,
        options: { ...options, idempotencyKey, caller: this.#self, metadata },
        timeoutMs: this.#turnTimeoutMs,
        // An error is an outcome like any other: what was told is delivered all the same.
      }).catch(() => undefined);
    await attempt(fault === undefined ? {} : { fault });
    if (fault === "after-commit") {
      await this.restart();
      await attempt({});
    }
  }

  async #tick(): Promise<void> {
    const timer = this.#timers.fire(this.#world.now());
    const last = this.#lastCallMs;
    const metadata = { "callboard-timer": timer.name };
    const timeoutMs = this.#turnTimeoutMs;
    await this.call({ action: timer, argument: undefined, options: { metadata }, timeoutMs }).catch(() => undefined);
    // A timer keeps nobody in memory.
    this.#lastCallMs = last;
  }

  /** When the actor leaves memory if nobody calls it. */
  get #idleAtMs(): number {
    const { kind } = this.#binding.def.settings ?? {};
    return !this.active || (kind === "named" && !this.#timers.none) ? Infinity : this.#lastCallMs + this.#idleMs;
  }

  get #turnTimeoutMs(): number {
    return toMillis(this.#binding.def.settings?.turnTimeout ?? DEFAULT_TURN_TIMEOUT);
  }

  #deactivate(): void {
    this.active = false;
    if (this.#binding.def.settings?.durability === "volatile") {
      this.image = BLANK;
      this.#outcomes.clear();
    }
  }

  async #serve({ action, argument, options, timeoutMs }: KitCall): Promise<KitReply> {
    this.#requests += 1;
    const requestId = options.idempotencyKey ?? `test-request-${this.#requests}`;
    const payload = action.input.encode(argument) as Payload | undefined;
    this.#lastCallMs = this.#world.now();
    await this.#activate();
    const known = this.#outcomes.get(requestId);
    if (known !== undefined) {
      if (known.action !== action.name || !samePayload(known.argument, payload)) {
        throw reused(requestId);
      }
      return reply(known.outcome, requestId, known.revision);
    }
    const spec = this.#spec(action, payload, requestId, timeoutMs, options);
    let end = await this.#run(spec, options.signal);
    if (options.fault === "before-commit") {
      end = await this.#run({ ...spec, attempt: spec.attempt + 1 }, options.signal);
    }
    this.#commit(spec, action, end);
    if (end.workflow?.deactivate === true) {
      this.#deactivate();
    }
    end = await this.#answered(end, spec);
    if (options.fault === "after-commit") {
      throw new CallboardError(
        Code.UNAVAILABLE,
        "OUTCOME_UNKNOWN",
        "The reply was lost. The action may have run; send it again only with the same id.",
        { retry: "same-id", metadata: { request_id: requestId } },
      );
    }
    return reply(end.outcome, requestId, this.revision);
  }

  /** What the caller gets: the answer of the next actor's stand-in, if the turn left it to that one and there is one. */
  async #answered(end: TurnEnd, { requestId, argument }: TurnSpec): Promise<TurnEnd> {
    const next = end.workflow?.next;
    if (next === undefined || end.outcome.case !== "reply") {
      return end;
    }
    if (!this.stubs.has(next)) {
      return { outcome: { case: "reply", value: undefined } };
    }
    const payload = next.kind === "pipe" ? end.outcome.value : argument;
    return { outcome: await this.stubs.answer({ ...next, payload, requestId: `${requestId}/next` }) };
  }

  async #activate(): Promise<void> {
    if (this.active) {
      return;
    }
    const name = INIT_NAMES.find((candidate) => this.#binding.actions.has(candidate));
    const init = name === undefined ? undefined : this.#binding.actions.get(name)?.def;
    if (init !== undefined) {
      this.#requests += 1;
      const spec = this.#spec(init, undefined, `test-init-${this.#requests}`, 0, {});
      const end = await this.#run(spec, undefined);
      if (end.outcome.case === "error") {
        const cause = errorFromWire(end.outcome.value);
        throw new CallboardError(
          Code.FAILED_PRECONDITION,
          "INIT_FAILED",
          `The actor could not start: ${cause.message} The call was not run; the next one tries again.`,
          { cause, retry: "safe", metadata: { reason: cause.reason } },
        );
      }
      this.#commit(spec, init, end);
    }
    this.active = true;
    this.#timers.arm(this.#world.now());
  }

  #spec(
    action: AnyAction,
    argument: Payload | undefined,
    requestId: string,
    timeoutMs: number,
    options: KitCallOptions,
  ): TurnSpec {
    const { caller } = options;
    return {
      turnId: 0n,
      actor: this.#self,
      action: action.name,
      argument,
      requestId,
      createdAtMs: this.#world.now(),
      attempt: options.attempt ?? 1,
      timeoutMs,
      caller: caller && { system: this.#self.system, type: "", key: "", ...caller },
      metadata: options.metadata ?? {},
      epoch: this.#epoch,
      revision: this.revision + 1n,
      readOnly: action.readOnly,
    };
  }

  #run(spec: TurnSpec, signal: AbortSignal | undefined): Promise<TurnEnd> {
    const execution = new Execution(this.#binding, spec, {
      logger: this.#world.logger,
      now: this.#world.now,
      call: (turn, request) => void this.#outgoing(turn, request),
    });
    this.#running = execution;
    const abort = (): void => execution.abort("cancelled");
    signal?.addEventListener("abort", abort, { once: true });
    return new Promise<TurnEnd>((resolve) => {
      const end = execution.start(this.image, resolve);
      if (end !== undefined) {
        resolve(end);
      }
    }).finally(() => {
      signal?.removeEventListener("abort", abort);
      this.#running = undefined;
    });
  }

  async #outgoing(turn: Execution, request: CallRequest): Promise<void> {
    const { target, action } = request;
    const argument: unknown = action.input.decode(request.payload);
    this.calls.push({ target, action: action.name, argument });
    const requestId = request.requestId || `${turn.spec.requestId}/${request.index}`;
    turn.calls.settle(request.index, await this.stubs.answer({ ...request, requestId }));
  }

  #commit(spec: TurnSpec, action: AnyAction, end: TurnEnd): void {
    if (action.readOnly || end.outcome.case === "cancelled") {
      return;
    }
    if (end.outcome.case === "reply") {
      this.image = { state: end.state ?? this.image.state, tags: { ...(end.tags ?? this.image.tags) } };
      this.revision += 1n;
      this.outbox.commit(end, this.#world.now());
    }
    this.#outcomes.set(spec.requestId, {
      action: spec.action,
      argument: spec.argument,
      outcome: end.outcome,
      revision: this.revision,
    });
  }
}

function reply(outcome: TurnOutcome, requestId: string, revision: bigint): KitReply {
  switch (outcome.case) {
    case "reply":
      return { reply: outcome.value, requestId, revision, durable: true };
    case "error":
      throw errorFromWire(outcome.value);
    case "cancelled":
      throw new CallboardError(Code.CANCELLED, "CANCELLED", "The call was cancelled before it had a result.");
  }
}

function reused(requestId: string): CallboardError {
  return new CallboardError(
    Code.FAILED_PRECONDITION,
    "REQUEST_ID_REUSED",
    `Request id "${requestId}" was used for another call. Nothing was run; use a new id for a new call.`,
  );
}
