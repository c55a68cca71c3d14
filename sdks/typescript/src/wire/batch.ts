/**
 * Sends frames in batches: what accumulates during one turn of the event loop, and while the connection is congested,
 * leaves as one stream message. Encoded protobuf messages may be joined end to end, which merges their repeated fields;
 * so every frame is handed over as a message of its own and never encoded twice.
 */

/** The part of a gRPC stream that a batch is written to. */
export interface FrameSink {
  write(message: Buffer): boolean;
  once(event: "drain", listener: () => void): unknown;
}

/** Collects encoded messages and writes them together. */
export class BatchWriter {
  /** Largest stream message in bytes. */
  maxBytes = 4 * 1024 * 1024;

  readonly #sink: FrameSink;
  readonly #beforeFlush: (() => void) | undefined;
  #waiting: Uint8Array[] = [];
  #scheduled = false;
  #congested = false;
  #closed = false;

  constructor(sink: FrameSink, beforeFlush?: () => void) {
    this.#sink = sink;
    this.#beforeFlush = beforeFlush;
  }

  /** Adds one encoded message. It leaves at the end of this turn of the event loop. */
  push(message: Uint8Array): void {
    this.#waiting.push(message);
    this.schedule();
  }

  /** Makes sure that a flush comes at the end of this turn of the event loop. */
  schedule(): void {
    if (!this.#scheduled && !this.#closed) {
      this.#scheduled = true;
      setImmediate(() => {
        this.#scheduled = false;
        this.#beforeFlush?.();
        this.flush();
      });
    }
  }

  /** Writes what waits, unless the connection is congested: then it leaves with what comes until it is not. */
  flush(): void {
    while (this.#waiting.length > 0 && !this.#congested && !this.#closed) {
      const batch = this.#take();
      if (!this.#sink.write(batch)) {
        this.#congested = true;
        this.#sink.once("drain", () => {
          this.#congested = false;
          this.flush();
        });
      }
    }
  }

  /** Writes everything now, congested or not; for the last words before a stream is closed. */
  flushAll(): void {
    while (this.#waiting.length > 0 && !this.#closed) {
      this.#sink.write(this.#take());
    }
  }

  /** Drops what waits and takes nothing more. */
  close(): void {
    this.#closed = true;
    this.#waiting = [];
  }

  #take(): Buffer {
    const waiting = this.#waiting;
    let bytes = waiting[0]?.length ?? 0;
    let count = 1;
    for (; count < waiting.length; count += 1) {
      const more = (waiting[count] as Uint8Array).length;
      if (bytes + more > this.maxBytes) {
        break;
      }
      bytes += more;
    }
    if (count === waiting.length) {
      this.#waiting = [];
      return Buffer.concat(waiting, bytes);
    }
    return Buffer.concat(waiting.splice(0, count), bytes);
  }
}
