/**
 * The client half: commands in on standard input, results out on standard output.
 */
import { createInterface } from "node:readline";

import type { Client } from "@callboard/sdk";
import { connect, isCallboardError, jsonAction } from "@callboard/sdk";

interface Command {
  readonly op: "invoke" | "cancel";
  readonly id: number;
  readonly type: string;
  readonly key: string;
  readonly action: string;
  readonly argument?: unknown;
  readonly timeout_ms?: number;
  readonly idempotency_key?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly transport?: "stream" | "unary";
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
    calls.push(run(client, command, abort.signal).finally(() => running.delete(command.id)));
  }
  await Promise.all(calls);
  clients.forEach((client) => client.close());
}

async function run(client: Client, command: Command, signal: AbortSignal): Promise<void> {
  const { id, type, key, action, argument, timeout_ms, idempotency_key, metadata } = command;
  const ref = client.ref({ type, actions: { it: jsonAction<unknown, unknown>(action) } }, key);
  try {
    const reply = await ref.it(argument, {
      signal,
      ...(timeout_ms === undefined ? {} : { timeout: timeout_ms }),
      ...(idempotency_key === undefined ? {} : { idempotencyKey: idempotency_key }),
      ...(metadata === undefined ? {} : { metadata }),
    });
    print({ id, ok: reply ?? null });
  } catch (error) {
    if (!isCallboardError(error)) {
      throw error;
    }
    const { reason, code, message, retry, fromActor } = error;
    const facts = { reason, code, message, retry: RETRIES[retry], from_actor: fromActor, metadata: error.metadata };
    print({ id, error: facts });
  }
}

function print(result: unknown): void {
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
