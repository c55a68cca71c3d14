/**
 * Where the SDK and actors write what they have to say. One line per entry on standard error, as text; give your own
 * `Logger` to `serve` to send it elsewhere.
 */

/** How important a log line is. */
export type LogLevel = "debug" | "info" | "warn" | "error";

/** Facts that belong to a log line. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Takes log lines. */
export interface Logger {
  /** Writes one line. Must not throw. */
  log(level: LogLevel, message: string, fields: LogFields): void;
}

/** What actors see as `ctx.log`: lines that already carry actor, action and request id. */
export interface ActorLog {
  /** For those who look for a fault. */
  debug(message: string, fields?: LogFields): void;
  /** For everybody. */
  info(message: string, fields?: LogFields): void;
  /** Something is not as it should be. */
  warn(message: string, fields?: LogFields): void;
  /** Something failed. */
  error(message: string, fields?: LogFields): void;
}

const RANK: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 };

/** A logger that writes to standard error, from the given level on. */
export function stderrLogger(level: LogLevel = "info"): Logger {
  return {
    log(at, message, fields) {
      if (RANK[at] < RANK[level]) {
        return;
      }
      const facts = Object.entries(fields)
        .map(([name, value]) => ` ${name}=${render(value)}`)
        .join("");
      process.stderr.write(`${new Date().toISOString()} ${at} callboard: ${message}${facts}\n`);
    },
  };
}

/** A logger that writes nothing. */
export const silentLogger: Logger = { log: () => undefined };

/** Binds fields to a logger. @internal */
export function actorLog(logger: Logger, fields: () => LogFields): ActorLog {
  const write = (level: LogLevel) => (message: string, more?: LogFields) =>
    logger.log(level, message, { ...fields(), ...more });
  return { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
}

function render(value: unknown): string {
  if (value instanceof Error) {
    return JSON.stringify(value.stack ?? value.message);
  }
  if (typeof value === "string") {
    return /^[\w./:-]+$/.test(value) ? value : JSON.stringify(value);
  }
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
