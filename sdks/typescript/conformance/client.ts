/**
 * The client half: commands in on standard input, results out on standard output.
 */
import { createInterface } from "node:readline";

import type { Client } from "@callboard/sdk";
import { connect, isCallboardError, jsonAction } from "@callboard/sdk";

import type { Tool } from "./tools.js";
import { tools } from "./tools.js";

interface Command extends Tool {
  readonly op: string;
  readonly id: number;
  readonly argument?: unknown;
  readonly timeout_ms?: number;
  readonly idempotency_key?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly transport?: "stream" | "unary";
  readonly delay_ms?: number;
  readonly at_ms?: number;
  readonly channel: string;
  readonly channels: readonly string[];
  readonly message: unknown;
}

const RETRIES = { never: "NEVER", safe: "SAFE", "same-id": "SAME_ID" } as const;

/** Runs commands until the input and all calls have ended. */
export async function runClient(): Promise<void> {
  const clients = new Map<string, Client>();
  const running = new Map<number, AbortController>();
  const calls: Promise<void>[] = [];
  for await (const line of createInterface({ input: process.stdin })) {
    const command = JSON.parse(line) as Command;
    if (command.op === "cancel") {
      running.get(command.id)?.abort();
      continue;
    }
    const transport = command.transport ?? "stream";
    const client = clients.get(transport) ?? connect({ transport });
    clients.set(transport, client);
    const abort = new AbortController();
    running.set(command.id, abort);
    calls.push(report(client, command, abort.signal).finally(() => running.delete(command.id)));
  }
  await Promise.all(calls);
  clients.forEach((client) => client.close());
}

async function report(client: Client, command: Command, signal: AbortSignal): Promise<void> {
  const { id } = command;
  try {
    print({ id, ok: (await run(client, command, signal)) ?? null });
  } catch (error) {
    if (!isCallboardError(error)) {
      throw error;
    }
    const { reason, code, message, retry, fromActor } = error;
    const facts = { reason, code, message, retry: RETRIES[retry], from_actor: fromActor, metadata: error.metadata };
    print({ id, error: facts });
  }
}

async function run(client: Client, command: Command, signal: AbortSignal): Promise<unknown> {
  const { op, type, key, action, argument, timeout_ms, idempotency_key, metadata } = command;
  const options = {
    signal,
    ...(timeout_ms === undefined ? {} : { timeout: timeout_ms }),
    ...(idempotency_key === undefined ? {} : { idempotencyKey: idempotency_key }),
    ...(metadata === undefined ? {} : { metadata }),
  };
  switch (op) {
    case "invoke":
      return client.ref({ type, actions: { it: jsonAction<unknown, unknown>(action) } }, key).it(argument, options);
    case "send": {
      const { delay_ms, at_ms } = command;
      const target = { system: client.system, type, key };
      const when =
        at_ms === undefined ? (delay_ms === undefined ? {} : { delay: delay_ms }) : { at: new Date(at_ms) };
      const it = jsonAction<unknown, unknown>(action);
      const { requestId, durable, schedule } = await client.send(target, it, argument, { ...options, ...when });
      return { request_id: requestId, durable, schedule: schedule ?? null };
    }
    case "publish": {
      const { requestId, types } = await client.publish(command.channel, command.message, options);
      return { request_id: requestId, types };
    }
    case "subscribe":
      return subscribe(client, command, signal);
    default:
      return tools(client, command);
  }
}

async function subscribe(client: Client, { id, channels }: Command, signal: AbortSignal): Promise<void> {
  for await (const item of client.subscribe(channels, { signal })) {
    if (item.kind === "missed") {
      print({ id, missed: item.messages });
      continue;
    }
    const message = {
      channel: item.channel,
      id: item.id,
      message: item.message,
      metadata: item.metadata,
      source: item.source ?? null,
      published_at_ms: item.publishedAt.getTime(),
    };
    print({ id, message });
  }
}

function print(result: unknown): void {
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
