/**
 * The rooms from the command line: join WHO ROOM, say WHO ROOM TEXT, heard WHO, listen ROOM.
 */
import { type Client, connect, isCallboardError } from "@callboard/sdk";

import { member, room, type Said, said } from "./rooms.js";

const USAGE = `usage: npm run --silent chat -- join WHO ROOM | leave WHO ROOM | say WHO ROOM TEXT | heard WHO | listen ROOM`;

const line = ({ room, number, from, text }: Said) => `${room} #${number} ${from}: ${text}`;

/** Prints what is said in a room, for ever. A lost connection is made again, and what was said meanwhile comes after it. */
async function listen(client: Client, name: string): Promise<void> {
  const onSubscribed = () => console.error(`listening to ${name}`);
  for await (const item of client.subscribe(said, { onSubscribed })) {
    if (item.kind === "missed") {
      console.log(`(${item.messages || "some"} messages of all rooms were missed)`);
    } else if (item.message.room === name) {
      console.log(line(item.message));
    }
  }
}

async function run(client: Client, [command, who = "", name = "", text = ""]: string[]): Promise<void> {
  switch (command) {
    case "join":
      return client.ref(member, who).join(name);
    case "leave":
      return client.ref(member, who).leave(name);
    case "say":
      return console.log(`#${await client.ref(room, name).say({ from: who, text })}`);
    case "heard":
      return (await client.ref(member, who).heard()).forEach((message) => console.log(line(message)));
    case "listen":
      return listen(client, who);
    default:
      throw new SyntaxError(USAGE);
  }
}

const client = connect();
try {
  await run(client, process.argv.slice(2));
} catch (error) {
  console.error(isCallboardError(error) ? `${error.reason}: ${error.message}` : String(error));
  process.exitCode = error instanceof SyntaxError ? 2 : 1;
} finally {
  client.close();
}
