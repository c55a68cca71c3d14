/**
 * Echo turns per second of this host, with 1, 64 and 256 turns in flight. The node runs in a process of its own; it is
 * written in TypeScript too, so on few cores the two share them and the figures are a lower bound.
 */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";

import { defineActor, serve, silentLogger } from "@callboard/sdk";

const echo = defineActor({
  type: "Echo",
  initial: () => "",
  actions: {
    echo: async (ctx, text: string) => ctx.state.length > 0 ? text : "",
  },
});

for (const window of [1, 64, 256]) {
  const node = fork(fileURLToPath(new URL("node.js", import.meta.url)), [String(window)]);
  const address = await new Promise<string>((resolve) => {
    node.once("message", (message) => resolve((message as { address: string }).address));
  });
  const host = await serve({ actors: [echo], server: address, logger: silentLogger, handleSignals: false });
  const cpu = process.cpuUsage();
  const start = performance.now();
  const rate = await new Promise<number>((resolve) => {
    node.once("message", (message) => resolve((message as { rate: number }).rate));
  });
  const used = process.cpuUsage(cpu);
  const busy = (used.user + used.system) / 1_000 / (performance.now() - start);
  console.log(`window ${window}: ${Math.round(rate)} turns/s, host busy ${(busy * 100).toFixed(0)} % of one core`);
  await host.stop();
}
