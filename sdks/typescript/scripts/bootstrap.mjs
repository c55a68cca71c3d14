/**
 * Makes the SDK usable where it is linked from by path: installs its dependencies and compiles it, each only if needed.
 * Examples run it after their own installation, because npm installs nothing inside a linked package.
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
const built = join(root, "dist", "index.js");
if (!existsSync(built) || statSync(built).mtimeMs < newest(join(root, "src"))) {
  run("run", "--silent", "build");
}
