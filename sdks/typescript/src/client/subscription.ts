/**
 * A subscription: what is said on channels, for as long as somebody listens. Its stream is opened again whenever it breaks,
 * at another node if that one is gone, and goes on after the newest item that it had.
 */
import type { ClientReadableStream } from "@grpc/grpc-js";
import { toJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";

import { idToAddress } from "../address.js";
import { decodeLoosely } from "../codec.js";
import { callerGaveUp, CallboardError, Code } from "../errors.js";
import type {
  ChannelMessage as WireMessage,
  SubscribeResponse,
} from "../gen/callboard/gateway/v1/gateway_pb.js";
import type { Payload } from "../gen/callboard/type/v1/type_pb.js";
import type { ActorAddress } from "../invoker.js";
import type { AnyChannel } from "../message-channel.js";
import { Backoff } from "../wire/backoff.js";
import { connectionLost } from "./status.js";

/** Delays between streams, in milliseconds. */
const REOPEN_BASE_MS = 50;
const REOPEN_MAX_MS = 5_000;

/** Settings of a subscription. */
export interface SubscribeOptions {
  /** The newest token of an earlier subscription, to go on where it ended. Default: from now on. */
  readonly resumeToken?: string;
  /** Ends the subscription when it is aborted. */
  readonly signal?: AbortSignal;
  /** Told each time that a stream holds: what is said from then on is heard. */
  readonly onSubscribed?: () => void;
}

/** What was said on a channel. */
export class ChannelMessage<T = unknown> {
  readonly kind = "message";
  /** The channel's name. */
  readonly channel: string;
  /** Names the message; the same each time it is heard. */
  readonly id: string;
  /** Text that came with it. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The actor that said it; undefined for messages from outside. */
  readonly source: ActorAddress | undefined;
  /** When it was said. */
  readonly publishedAt: Date;
  /** Where a later subscription goes on after this message. */
  readonly resumeToken: string;
  readonly #body: WireMessage["body"];
  readonly #channel: AnyChannel | undefined;

  /** @internal */
  constructor(from: WireMessage, channel: AnyChannel | undefined) {
    this.channel = from.channel;
    this.id = from.id;
    this.metadata = from.metadata;
    this.source = from.source && idToAddress(from.source);
    this.publishedAt = new Date(Number(from.publishedAtMs));
    this.resumeToken = from.resumeToken;
    this.#body = from.body;
    this.#channel = channel;
  }

  /**
   * The message. On a channel that was only named: the value if it is JSON, else its bytes.
   *
   * @throws CallboardError INVALID_MESSAGE if it is not what its channel says.
   */
  get message(): T {
    const body = this.#body;
    try {
      if (body.case === "json") {
        return toJson(ValueSchema, body.value) as T;
      }
      return this.#decode(body.value) as T;
    } catch (error) {
      throw new CallboardError(
        Code.INVALID_ARGUMENT,
        "INVALID_MESSAGE",
        `Message ${this.id} of channel "${this.channel}" cannot be read: ${String(error)}.`,
        { cause: error },
      );
    }
  }

  #decode(payload: Payload | undefined): unknown {
    return this.#channel === undefined ? decodeLoosely(payload) : this.#channel.message.decode(payload);
  }
}

/** Messages were lost to this subscriber, because it was too slow or came back too late. */
export interface MissedMessages {
  readonly kind: "missed";
  /** How many; 0 if that is not known. */
  readonly messages: number;
}

/** Something of a subscription. */
export type SubscriptionItem<T = unknown> = ChannelMessage<T> | MissedMessages;

/** Opens streams, at one node after the other. @internal */
export interface SubscriptionSource {
  /** Opens a stream that goes on after a token, or with what is said from now on. */
  open(resumeToken: string): { readonly address: string; readonly stream: ClientReadableStream<SubscribeResponse> };
  /** What ended a stream. Moves on to another node if this one cannot answer. */
  explain(address: string, error: unknown): CallboardError;
}

/** Hears until the signal is aborted, or an error comes that no retry helps. @internal */
export async function* hear(
  source: SubscriptionSource,
  channels: ReadonlyMap<string, AnyChannel>,
  options: SubscribeOptions,
): AsyncGenerator<SubscriptionItem, void, undefined> {
  const { signal } = options;
  const backoff = new Backoff(REOPEN_BASE_MS, REOPEN_MAX_MS);
  let token = options.resumeToken ?? "";
  for (;;) {
    stopIfAborted(signal);
    let failure: CallboardError;
    let leave = (): void => undefined;
    let address = "";
    try {
      const opened = source.open(token);
      ({ address } = opened);
      leave = () => opened.stream.cancel();
      signal?.addEventListener("abort", leave, { once: true });
      for await (const { item } of opened.stream as AsyncIterable<SubscribeResponse>) {
        if (item.case === "subscribed") {
          backoff.reset();
          token = item.value.resumeToken || token;
          options.onSubscribed?.();
        } else if (item.case === "message") {
          token = item.value.resumeToken || token;
          yield new ChannelMessage(item.value, channels.get(item.value.channel));
        } else if (item.case === "missed") {
          yield { kind: "missed", messages: Number(item.value.messages) };
        }
      }
      failure = source.explain(address, connectionLost(address));
    } catch (error) {
      failure = source.explain(address, error);
    } finally {
      signal?.removeEventListener("abort", leave);
      leave();
    }
    stopIfAborted(signal);
    if (failure.retry === "never") {
      throw failure;
    }
    await pause(failure.retryAfterMs + backoff.next(), signal);
  }
}

function stopIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) {
    throw callerGaveUp(signal);
  }
}

function pause(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, delayMs);
    signal?.addEventListener("abort", end, { once: true });
  });
}
