/**
 * Compiles the type tests with every TypeScript that users may have. Lines marked @ts-expect-error must fail to compile;
 * if one compiles, the compiler says so, and the test fails.
 */
import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
let failed = 0;
for (const compiler of ["typescript", "typescript-7"]) {
  const tsc = join(here, "..", "node_modules", compiler, "bin", "tsc");
  const { status, stdout, stderr } = spawnSync(process.execPath, [tsc, "-p", here], { encoding: "utf8" });
  const version = spawnSync(process.execPath, [tsc, "--version"], { encoding: "utf8" }).stdout.trim();
  console.log(`${status === 0 ? "ok    " : "FAILED"} type tests with TypeScript ${version.replace("Version ", "")}`);
  if (status !== 0) {
    failed += 1;
    console.log(stdout + stderr);
  }
}
process.exitCode = failed === 0 ? 0 : 1;
