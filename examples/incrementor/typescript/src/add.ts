/**
 * Adds to a counter from the command line: add KEY AMOUNT. Whichever language's host runs the turn answers.
 */
import { connect } from "@callboard/sdk";

import { IncrementorClient } from "../gen/incrementor_actor.js";

const [key = "u1", amount = "1"] = process.argv.slice(2);
const connection = connect();
try {
  const reply = await new IncrementorClient(connection).ref(key).add({ amount: BigInt(amount) });
  console.log(`${key}: ${reply.total} (added by ${reply.language})`);
} finally {
  connection.close();
}
