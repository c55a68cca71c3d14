import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const root = new URL("../../", import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), "utf8");

test("the code in the README is the code of the samples", () => {
  const blocks = [...read("README.md").matchAll(/<!-- (samples\/\S+) -->\n```ts\n([^]*?)```/g)];
  assert.equal(blocks.length, 7);
  for (const [, path = "", code] of blocks) {
    assert.equal(code, read(path), path);
  }
});

test("the version is told the same everywhere", async () => {
  const { SDK_VERSION } = await import("@callboard/sdk");
  const manifest = JSON.parse(read("package.json")) as { version: string };
  assert.equal(manifest.version, SDK_VERSION);
});
