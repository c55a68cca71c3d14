import { connect } from "@callboard/sdk";

import { counter } from "./counter.js";

const client = connect();
console.log(await client.ref(counter, "u1").add(5, { timeout: "2s" }));
client.close();
