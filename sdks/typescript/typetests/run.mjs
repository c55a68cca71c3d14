/**
 * Compiles the type tests, and the generator's golden files, with every TypeScript that users may have. Lines marked
 * @ts-expect-error must fail to compile; if one compiles, the compiler says so, and the test fails.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const golden = join(here, "..", "..", "..", "sdk-gen", "tests", "golden", "typescript");
const unpacked = join(here, "golden");

/** Puts the golden files, which have a header of the snapshot tool, where the compiler finds them. */
function unpack() {
  rmSync(unpacked, { recursive: true, force: true });
  for (const name of readdirSync(golden)) {
    const text = readFileSync(join(golden, name), "utf8").replace(/^---\n[^]*?\n---\n/, "");
    const path = join(unpacked, name.replace(/\.ts\.snap$/, "").replaceAll(".", "/") + ".ts");
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
}

/** Runs one compiler on the tests. */
function compile(compiler) {
  const tsc = join(here, "..", "node_modules", compiler, "bin", "tsc");
  const run = (...args) => spawnSync(process.execPath, [tsc, ...args], { encoding: "utf8" });
  const { status, stdout, stderr } = run("-p", here);
  const version = run("--version").stdout.trim().replace("Version ", "");
  console.log(`${status === 0 ? "ok    " : "FAILED"} type tests with TypeScript ${version}`);
  if (status !== 0) {
    console.log(stdout + stderr);
  }
  return status === 0;
}

unpack();
const passed = ["typescript", "typescript-7"].map(compile);
process.exitCode = passed.every(Boolean) ? 0 : 1;
