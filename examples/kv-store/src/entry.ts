/**
 * One key of the store: an actor for each, so that keys never wait for each other and writers of one key never race. No
 * proto is needed; arguments, replies and state are JSON.
 */
import { ActorError, Code, defineActor } from "@callboard/sdk";

/** What a key holds. */
interface EntryState {
  /** Counts the changes; never goes down, not even by a deletion. 0 means that the key was never written. */
  version: number;
  /** The value, unless the key is deleted or was never written. */
  value?: unknown;
}

/** A condition on a write: it is refused unless the key is at this version. 0 means "only if never written". */
interface Condition {
  ifVersion?: number;
}

export const entry = defineActor({
  type: "Entry",
  initial: (): EntryState => ({ version: 0 }),
  actions: {
    /** Sets the value, and answers the version that it has from now on. */
    put(ctx, { value, ifVersion }: { value: unknown } & Condition) {
      if (value === undefined) {
        throw new ActorError(Code.INVALID_ARGUMENT, "VALUE_MISSING", "Give a value to put, or call delete.");
      }
      expectVersion(ctx.state, ifVersion);
      ctx.state = { version: ctx.state.version + 1, value };
      return { version: ctx.state.version };
    },

    /** Removes the value, and answers whether there was one. */
    delete(ctx, { ifVersion }: Condition = {}) {
      expectVersion(ctx.state, ifVersion);
      const existed = ctx.state.value !== undefined;
      if (existed) {
        ctx.state = { version: ctx.state.version + 1 };
      }
      return { existed, version: ctx.state.version };
    },
  },
  reads: {
    /** Answers the value and its version. */
    get(ctx) {
      const { value, version } = ctx.state;
      return value === undefined ? { found: false, version } : { found: true, value, version };
    },
  },
});

function expectVersion(state: EntryState, ifVersion: number | undefined): void {
  if (ifVersion !== undefined && ifVersion !== state.version) {
    throw new ActorError(
      Code.ABORTED,
      "VERSION_MISMATCH",
      `The key is at version ${state.version}, not ${ifVersion}: someone wrote in between. Read it again and decide.`,
      { metadata: { version: String(state.version) } },
    );
  }
}
