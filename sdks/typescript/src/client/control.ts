/**
 * What the tools of a client have in common: the system that they work in, and calls of the control services that are
 * made again where that helps.
 */
import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";

import type { Duration } from "../duration.js";
import { toMillis } from "../duration.js";
import type { UnaryMethod, UnaryTransport } from "./unary.js";

/** Settings of a call of a tool. */
export interface ToolOptions {
  /** How long to wait, retries included. Default: the client's. */
  readonly timeout?: Duration;
  /** Gives up waiting when it is aborted. */
  readonly signal?: AbortSignal;
}

/** Calls control services for one client. @internal */
export class Control {
  /** The client's system. */
  readonly system: string;
  readonly #transport: UnaryTransport;
  readonly #timeoutMs: number;

  constructor(system: string, transport: UnaryTransport, timeoutMs: number) {
    this.system = system;
    this.#transport = transport;
    this.#timeoutMs = timeoutMs;
  }

  /** Calls a method. */
  call<I extends DescMessage, O extends DescMessage>(
    method: UnaryMethod<I, O>,
    request: MessageInitShape<I>,
    options: ToolOptions = {},
  ): Promise<MessageShape<O>> {
    return this.#transport.query(method, create(method.input, request), {
      timeoutMs: options.timeout === undefined ? this.#timeoutMs : toMillis(options.timeout),
      retry: true,
      signal: options.signal,
    });
  }
}

/** A date from Unix milliseconds; undefined for 0, which stands for none. @internal */
export function dateOf(millis: bigint): Date | undefined {
  return millis === 0n ? undefined : new Date(Number(millis));
}
