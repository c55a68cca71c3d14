/**
 * The node half of the echo benchmark, as a process of its own: keeps `window` turns in flight, each for an actor of its
 * own and with 100 bytes of payload, and prints turns per second.
 */
import type { NodeSession } from "../support/fake-node.js";
import { FakeNode } from "../support/fake-node.js";

const [window = 64, seconds = 4] = process.argv.slice(2).map(Number);

const node = await FakeNode.start();
process.send?.({ address: node.address });
const session = await node.session();
await session.accept();

let next = 1n;
const argument = {
  $typeName: "callboard.type.v1.Payload",
  contentType: "application/json",
  typeUrl: "",
  data: new TextEncoder().encode(JSON.stringify("x".repeat(98))),
} as const;

function turns(count: number): Parameters<NodeSession["send"]> {
  return Array.from({ length: count }, () => {
    const turnId = next++;
    return {
      case: "run",
      value: {
        $typeName: "callboard.host.v1.TurnRun",
        actor: { $typeName: "callboard.type.v1.ActorId", system: "default", type: "Echo", key: `k${turnId % 1000n}` },
        activationId: turnId % 1000n,
        epoch: 1n,
        state: { case: "stateFull", value: argument },
        tags: {},
        turns: [
          {
            $typeName: "callboard.host.v1.Turn",
            turnId,
            action: "echo",
            payload: argument,
            requestId: "0190b5a4-0000-7000-8000-000000000000",
            createdAtMs: 1n,
            attempt: 1,
            timeoutMs: 30_000,
            metadata: {},
            chain: [],
            revision: 1n,
            readOnly: false,
          },
        ],
      },
    };
  });
}

let done = 0;
session.onResults = (count) => {
  done += count;
  session.send(...turns(count));
};
session.send(...turns(window));
// Warm-up first: the compiler needs to have seen the code.
await new Promise((resolve) => setTimeout(resolve, 1_500));
const before = done;
const start = performance.now();
await new Promise((resolve) => setTimeout(resolve, seconds * 1_000));
const rate = (done - before) / ((performance.now() - start) / 1_000);
process.send?.({ rate });
node.stop();
process.exit(0);
