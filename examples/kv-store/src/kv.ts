/**
 * The store from the command line: put KEY JSON [IF_VERSION], get KEY, delete KEY [IF_VERSION].
 */
import { connect, isCallboardError } from "@callboard/sdk";

import { entry } from "./entry.js";

const USAGE = "usage: npm run --silent kv -- put KEY JSON [IF_VERSION] | get KEY | delete KEY [IF_VERSION]";

async function run([command, key, ...rest]: string[]): Promise<unknown> {
  if (key === undefined) {
    throw new SyntaxError(USAGE);
  }
  const client = connect();
  const store = client.ref(entry, key);
  const condition = (text?: string) => (text === undefined ? {} : { ifVersion: Number(text) });
  try {
    switch (command) {
      case "put":
        return await store.put({ value: JSON.parse(rest[0] ?? "") as unknown, ...condition(rest[1]) });
      case "get":
        return await store.get();
      case "delete":
        return await store.delete(condition(rest[0]));
      default:
        throw new SyntaxError(USAGE);
    }
  } finally {
    client.close();
  }
}

try {
  console.log(JSON.stringify(await run(process.argv.slice(2))));
} catch (error) {
  console.error(isCallboardError(error) ? `${error.reason}: ${error.message}` : String(error));
  process.exitCode = error instanceof SyntaxError ? 2 : 1;
}
