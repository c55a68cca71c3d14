/**
 * Makes the SDK usable where it is linked from by path: installs its dependencies and compiles it, each only if needed;
 * with the argument "conformance" the conformance program too. Examples run it after their own installation, because npm installs nothing inside a linked package.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const npm = process.platform === "win32" ? "npm.cmd" : "npm";
const run = (...args) => execFileSync(npm, args, { cwd: root, stdio: "inherit" });

/** When anything below the folder was last changed. */
function newest(folder) {
  return readdirSync(folder, { withFileTypes: true }).reduce((latest, entry) => {
    const path = join(folder, entry.name);
    return Math.max(latest, entry.isDirectory() ? newest(path) : statSync(path).mtimeMs);
  }, 0);
}

if (!existsSync(join(root, "node_modules", "@grpc", "grpc-js"))) {
  run("ci", "--ignore-scripts");
}
/** Compiles unless the output is younger than everything in the folders. */
function compile(script, output, ...sources) {
  const built = join(root, output);
  const latest = Math.max(...sources.map((folder) => newest(join(root, folder))));
  if (!existsSync(built) || statSync(built).mtimeMs < latest) {
    run("run", "--silent", script);
  }
}

compile("build", "dist/index.js", "src");
if (process.argv[2] === "conformance") {
  compile("build:conformance", "build/conformance/main.js", "conformance", "src");
}
