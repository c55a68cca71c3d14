import { connect, to } from "@callboard/sdk";

import { offers, shop } from "./shop.js";

const client = connect();
await client.publish(offers, { item: "tea", price: 3 });
await client.send(client.ref(shop, "s1"), shop.actions.pay, 5, { delay: "10m" });
await client.schedules.create(
  { call: to(shop, "s1").pay(20), cron: "0 9 * * 1-5", timeZone: "Europe/Berlin" },
  { name: "rent" },
);
for await (const item of client.subscribe(offers)) {
  if (item.kind === "missed") {
    console.log("offers were lost, because this program was too slow or away for too long");
  } else {
    console.log(item.message.item, item.message.price);
  }
}
