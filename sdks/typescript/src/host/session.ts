/**
 * One session: one stream to one node, from Hello to its end. It belongs to the `Link`, which opens the next one. All of
 * its work is synchronous reaction to frames; nothing in it waits.
 */
import { fromBinary } from "@bufbuild/protobuf";
import type { ClientDuplexStream, ServiceError } from "@grpc/grpc-js";

import { idToAddress } from "../address.js";
import type { Binding } from "../binding.js";
import { definitionOf, descriptorSetOf } from "../binding.js";
import { CallboardError, Code, errorFromWire, errorToWire } from "../errors.js";
import type { Limits, NodeFrame, Topology, TurnRun, Welcome } from "../gen/callboard/host/v1/host_pb.js";
import { ConnectResponseSchema } from "../gen/callboard/host/v1/host_pb.js";
import type { Logger } from "../logger.js";
import type { CallRequest } from "../turn/calls.js";
import type { TurnEnd, TurnWorld } from "../turn/execution.js";
import { Execution } from "../turn/execution.js";
import { BatchWriter } from "../wire/batch.js";
import type { Introduction } from "./frames.js";
import * as frames from "./frames.js";
import type { LaneEvents } from "./lane.js";
import { Lane } from "./lane.js";
import { RecentIds } from "./recent.js";

/** The stream of a session: encoded messages out, encoded messages in. */
export type SessionStream = ClientDuplexStream<Buffer, Buffer>;

/** What a session needs to know. */
export interface SessionConfig {
  readonly who: Introduction;
  readonly system: string;
  /** By actor type. */
  readonly bindings: ReadonlyMap<string, Binding>;
  readonly logger: Logger;
}

/** What a session tells its link. */
export interface SessionEvents {
  /** The node answered Hello. False ends the session before it offers anything. */
  welcomed(welcome: Welcome): boolean;
  /** The nodes of the cluster changed. */
  topology(topology: Topology): void;
  /** The node has taken the types: turns may come. */
  registered(): void;
  /** The node refused the types. */
  refused(error: CallboardError): void;
  /** The node is leaving and everything that it sent is answered: time for another session. */
  left(): void;
  /** The stream is over, with an error unless both sides agreed. */
  closed(error: Error | undefined): void;
}

/** Longest wait for Welcome. */
const WELCOME_TIMEOUT_MS = 10_000;
/** How long the node may take to close the stream once the host did. */
const CLOSE_TIMEOUT_MS = 2_000;

/** A host's side of one stream. */
export class Session implements LaneEvents {
  readonly #stream: SessionStream;
  readonly #config: SessionConfig;
  readonly #events: SessionEvents;
  readonly #writer: BatchWriter;
  readonly #world: TurnWorld;
  readonly #lanes = new Map<string, Lane>();
  readonly #turns = new Map<bigint, Execution>();
  readonly #seen = new RecentIds();
  #unwatched: Execution[] = [];
  #limits: Limits | undefined;
  #registerId = 0n;
  #credits: number;
  #welcomed = false;
  #timeout: NodeJS.Timeout | undefined;
  #closing = false;
  #drained = false;
  #nodeLeaves = false;
  #halfClosed = false;
  #over = false;

  constructor(stream: SessionStream, config: SessionConfig, credits: number, events: SessionEvents) {
    this.#stream = stream;
    this.#config = config;
    this.#credits = credits;
    this.#events = events;
    this.#writer = new BatchWriter(stream, () => this.#watchTurns());
    this.#world = {
      logger: config.logger,
      now: Date.now,
      call: (turn, request) => this.#sendCall(turn, request),
    };
    stream.on("data", (message: Buffer) => this.#receive(message));
    stream.on("error", (error: ServiceError) => this.#close(error));
    stream.on("end", () => this.#close(undefined));
    this.#writer.push(frames.hello(config.who, credits));
    this.#timeout = setTimeout(
      () => this.abort(new Error("The server did not answer Hello within 10 s.")),
      WELCOME_TIMEOUT_MS,
    );
  }

  /** Offers the types; answered by `registered` or `refused`. */
  register(): void {
    const defs = [...this.#config.bindings.values()].map(({ def }) => def);
    this.#registerId += 1n;
    this.#writer.push(
      frames.register(this.#registerId, this.#config.system, defs.map(definitionOf), descriptorSetOf(defs)),
    );
  }

  /** Sets how many turns may come at a time. */
  setCredits(credits: number): void {
    if (credits !== this.#credits && !this.#over) {
      this.#credits = credits;
      this.#writer.push(frames.credit(credits));
    }
  }

  /** Asks the node to send no more turns; the stream is closed when the last one is answered. */
  drain(permanent: boolean): void {
    this.#closing = true;
    if (this.#nodeLeaves) {
      this.#closeIfDone();
    } else {
      this.#writer.push(frames.drain(permanent));
    }
  }

  /** Ends the session at once: results of running turns are dropped. */
  abort(error: Error | undefined): void {
    if (!this.#over) {
      this.#close(error);
      this.#stream.cancel();
    }
  }

  // === frames in ===

  #receive(message: Buffer): void {
    if (this.#over) {
      return;
    }
    let received: readonly NodeFrame[];
    try {
      received = fromBinary(ConnectResponseSchema, message).frames;
    } catch (error) {
      this.abort(new Error("The server sent a message that cannot be decoded.", { cause: error }));
      return;
    }
    const touched = new Set<Lane>();
    for (const { frame } of received) {
      if (frame.case === "run") {
        const lane = this.#accept(frame.value);
        if (lane !== undefined) {
          touched.add(lane);
        }
      } else {
        this.#control(frame);
      }
    }
    // Only now: what the node says must be heard before actions take the thread.
    touched.forEach((lane) => lane.pump());
  }

  #control(frame: NodeFrame["frame"]): void {
    switch (frame.case) {
      case "welcome":
        return this.#welcome(frame.value);
      case "registered":
        if (frame.value.registerId === this.#registerId) {
          this.#registered(frame.value.error && errorFromWire(frame.value.error));
        }
        return;
      case "cancel":
        return this.#turns.get(frame.value.turnId)?.abort("cancelled");
      case "callResult":
        return this.#callResult(frame.value);
      case "ping":
        return this.#writer.push(frames.pong(frame.value.nonce));
      case "drained":
        this.#drained = this.#closing;
        return this.#closeIfDone();
      case "draining":
        this.#config.logger.log("info", "the node is leaving; finishing turns, then reconnecting", {});
        this.#nodeLeaves = true;
        this.#drained = true;
        return this.#closeIfDone();
      case "topology":
        return this.#events.topology(frame.value);
      default:
        // Deactivated: nothing is kept between runs. Unknown: a later minor version.
        return;
    }
  }

  #welcome(welcome: Welcome): void {
    if (this.#welcomed) {
      return;
    }
    this.#welcomed = true;
    clearTimeout(this.#timeout);
    this.#limits = welcome.limits;
    if (welcome.limits !== undefined && welcome.limits.messageBytesMax > 0) {
      this.#writer.maxBytes = welcome.limits.messageBytesMax;
    }
    this.#config.logger.log("debug", "session opened", {
      session: welcome.sessionId,
      node: welcome.nodeId,
      server: welcome.serverVersion,
    });
    if (!this.#events.welcomed(welcome)) {
      this.abort(undefined);
      return;
    }
    this.register();
  }

  #registered(error: CallboardError | undefined): void {
    if (error === undefined) {
      this.#events.registered();
    } else {
      this.#events.refused(error);
    }
  }

  #callResult(value: Extract<NodeFrame["frame"], { case: "callResult" }>["value"]): void {
    const { outcome } = value;
    const end =
      outcome.case === "error" ? outcome : ({ case: "reply", value: outcome.value } as const);
    this.#turns.get(value.turnId)?.calls.settle(value.callIndex, end);
  }

  #accept(run: TurnRun): Lane | undefined {
    const actor = idToAddress(run.actor);
    const binding = this.#config.bindings.get(actor.type);
    const first = run.turns[0];
    if (run.state.case === "stateToken" && first !== undefined) {
      // Hello promised no cache of states, so no token can be known here.
      this.#writer.push(frames.stateMissing(first.turnId));
      return undefined;
    }
    const turns: Execution[] = [];
    for (const turn of run.turns) {
      if (!this.#seen.add(turn.turnId)) {
        continue;
      }
      if (binding === undefined) {
        this.#writer.push(frames.result(turn.turnId, unknownType(actor.type)));
        continue;
      }
      const execution = new Execution(binding, frames.specOf(run, actor, turn), this.#world);
      this.#turns.set(turn.turnId, execution);
      turns.push(execution);
    }
    if (turns.length === 0) {
      return undefined;
    }
    const id = `${run.activationId}/${actor.type}/${actor.key}`;
    let lane = this.#lanes.get(id);
    if (lane === undefined) {
      lane = new Lane(id, this);
      this.#lanes.set(id, lane);
    }
    const state = run.state.case === "stateFull" ? run.state.value : undefined;
    lane.add({ image: { state, tags: run.tags }, turns });
    return lane;
  }

  // === turns ===

  /** @internal */
  started(turn: Execution): void {
    this.#unwatched.push(turn);
    this.#writer.schedule();
  }

  /** @internal */
  finished(turn: Execution, end: TurnEnd): TurnEnd {
    const { turnId } = turn.spec;
    let sent = frames.withinLimits(end, this.#limits);
    let message = frames.result(turnId, sent);
    if (message.length > this.#writer.maxBytes) {
      sent = frames.resultTooLarge(message.length, this.#writer.maxBytes);
      message = frames.result(turnId, sent);
    }
    this.#writer.push(message);
    this.#turns.delete(turnId);
    clearTimeout(turn.timer);
    return sent;
  }

  /** @internal */
  idle(lane: Lane): void {
    this.#lanes.delete(lane.id);
    if (this.#drained) {
      this.#closeIfDone();
    }
  }

  #sendCall(turn: Execution, request: CallRequest): void {
    const refusal = frames.callTooLarge(request, this.#limits);
    if (refusal !== undefined) {
      turn.calls.settle(request.index, { case: "error", value: refusal });
    } else if (!this.#over) {
      this.#writer.push(frames.turnCall(turn.spec.turnId, request));
    }
  }

  /** Gives a timer to the turns that are still running: most end before one is needed. */
  #watchTurns(): void {
    const started = this.#unwatched;
    this.#unwatched = [];
    for (const turn of started) {
      if (!turn.ended && Number.isFinite(turn.deadlineMs)) {
        const left = Math.max(0, turn.deadlineMs - Date.now());
        turn.timer = setTimeout(() => turn.abort("timeout"), left);
      }
    }
  }

  // === the end ===

  #closeIfDone(): void {
    if (this.#drained && this.#turns.size === 0 && !this.#over && !this.#halfClosed) {
      this.#halfClosed = true;
      this.#writer.flushAll();
      this.#stream.end();
      clearTimeout(this.#timeout);
      this.#timeout = setTimeout(() => this.abort(undefined), CLOSE_TIMEOUT_MS);
      if (this.#nodeLeaves && !this.#closing) {
        this.#events.left();
      }
    }
  }

  #close(error: Error | undefined): void {
    if (this.#over) {
      return;
    }
    this.#over = true;
    clearTimeout(this.#timeout);
    this.#writer.close();
    for (const turn of this.#turns.values()) {
      clearTimeout(turn.timer);
      turn.abort("detached");
    }
    this.#turns.clear();
    this.#lanes.clear();
    this.#events.closed(error);
  }
}

function unknownType(type: string): TurnEnd {
  const error = new CallboardError(
    Code.NOT_FOUND,
    "UNKNOWN_ACTION",
    `This host does not run actors of type "${type}". Nothing was run.`,
  );
  return { outcome: { case: "error", value: errorToWire(error, false) } };
}
