/**
 * Lanes: each activation has one, and its turns run in it one after the other, each on the state that the previous one
 * left. Lanes of different activations run side by side.
 */
import type { ActorImage, Execution, TurnEnd } from "../turn/execution.js";

/** Turns that came together, and the state that the first of them starts from. */
export interface Run {
  readonly image: ActorImage;
  readonly turns: readonly Execution[];
}

/** What a lane tells its owner. */
export interface LaneEvents {
  /** A turn did not end at once; its time limit has to be watched. */
  started(turn: Execution): void;
  /** A turn ended. Gives the end as it was sent, which a limit may have made an error. */
  finished(turn: Execution, end: TurnEnd): TurnEnd;
  /** The lane has nothing left. */
  idle(lane: Lane): void;
}

/** The turns of one activation, in order. */
export class Lane {
  /** The actor and its activation, as one text. */
  readonly id: string;
  readonly #events: LaneEvents;
  readonly #runs: Run[] = [];
  #image: ActorImage | undefined;
  #position = 0;
  #busy = false;

  constructor(id: string, events: LaneEvents) {
    this.id = id;
    this.#events = events;
  }

  /** Adds a run behind those that wait. `pump` starts it. */
  add(run: Run): void {
    this.#runs.push(run);
  }

  /** Runs turns until one of them has to be waited for. */
  pump(): void {
    while (!this.#busy) {
      const run = this.#runs[0];
      if (run === undefined) {
        this.#events.idle(this);
        return;
      }
      const turn = run.turns[this.#position];
      if (turn === undefined) {
        this.#runs.shift();
        this.#position = 0;
        this.#image = undefined;
        continue;
      }
      this.#busy = true;
      const end = turn.start(this.#image ?? run.image, (late) => {
        this.#finish(turn, run, late);
        this.pump();
      });
      if (end === undefined) {
        this.#events.started(turn);
        return;
      }
      this.#finish(turn, run, end);
    }
  }

  #finish(turn: Execution, run: Run, end: TurnEnd): void {
    const sent = this.#events.finished(turn, end);
    if (sent.state !== undefined || sent.tags !== undefined) {
      const before = this.#image ?? run.image;
      this.#image = { state: sent.state ?? before.state, tags: sent.tags ?? before.tags };
    }
    this.#position += 1;
    this.#busy = false;
  }
}
