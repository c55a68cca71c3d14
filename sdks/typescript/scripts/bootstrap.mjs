/**
 * Makes the SDK usable where it is linked from by path: installs its dependencies and compiles it, each only if needed;
 * with the argument "conformance" the conformance program too. Examples run it after their own installation, because npm
 * installs nothing inside a linked package. Several may run at a time: one works, the others wait for it.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const lock = join(root, ".bootstrap.lock");
const LOCK_TIMEOUT_MS = 300_000;
const LOCK_POLL_MS = 100;

const npm = process.platform === "win32" ? "npm.cmd" : "npm";
// What npm prints belongs to people: standard output may be somebody's data.
const run = (...args) => execFileSync(npm, args, { cwd: root, stdio: ["ignore", 2, 2] });

/** When anything below the folder was last changed. */
function newest(folder) {
  return readdirSync(folder, { withFileTypes: true }).reduce((latest, entry) => {
    const path = join(folder, entry.name);
    return Math.max(latest, entry.isDirectory() ? newest(path) : statSync(path).mtimeMs);
  }, 0);
}

/** True unless the output is younger than everything in the folders. */
function isOld(output, ...sources) {
  const built = join(root, output);
  return !existsSync(built) || statSync(built).mtimeMs < Math.max(...sources.map((path) => newest(join(root, path))));
}

const steps = [
  {
    isDue: () => !existsSync(join(root, "node_modules", ".package-lock.json")),
    run: () => run("ci", "--ignore-scripts"),
  },
  { isDue: () => isOld("dist/index.js", "src"), run: () => run("run", "--silent", "build") },
];
if (process.argv[2] === "conformance") {
  steps.push({
    isDue: () => isOld("build/conformance/main.js", "conformance", "src"),
    run: () => run("run", "--silent", "build:conformance"),
  });
}

/** True if the process that holds the lock is gone. */
function isAbandoned() {
  try {
    process.kill(Number(readFileSync(lock, "utf8")), 0);
    return false;
  } catch (error) {
    // ENOENT: released just now. ESRCH: its process ended without doing so.
    return error.code === "ESRCH";
  }
}

function takeLock() {
  const end = Date.now() + LOCK_TIMEOUT_MS;
  for (;;) {
    try {
      return writeFileSync(lock, String(process.pid), { flag: "wx" });
    } catch (error) {
      if (error.code !== "EEXIST" || Date.now() > end) {
        throw error;
      }
    }
    if (isAbandoned()) {
      rmSync(lock, { force: true });
    } else {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOCK_POLL_MS);
    }
  }
}

if (steps.some((step) => step.isDue())) {
  takeLock();
  try {
    // Asked again: whoever held the lock may have done it.
    steps.filter((step) => step.isDue()).forEach((step) => step.run());
  } finally {
    rmSync(lock, { force: true });
  }
}
