/**
 * Chat rooms: an actor per room gives what is said a number and says it on a channel, an actor per member hears the channel
 * and keeps what is said in the rooms that it joined.
 */
import { ActorError, Code, defineActor, defineChannel } from "@callboard/sdk";

/** How much of what it heard a member keeps. */
export const HEARD_MAX = 100;

/** What somebody said in a room. */
export interface Said {
  room: string;
  /** Counts what was said in the room, from 1. */
  number: number;
  from: string;
  text: string;
}

/** Where all rooms say what is said in them. */
export const said = defineChannel<Said>("rooms");

export const room = defineActor({
  type: "Room",
  initial: () => ({ said: 0 }),
  actions: {
    /** Says something in the room, and answers its number there. It is heard if, and only if, this is committed. */
    say(ctx, { from, text }: { from: string; text: string }) {
      if (text.trim() === "") {
        throw new ActorError(Code.INVALID_ARGUMENT, "NOTHING_SAID", "Say something: the text is empty.");
      }
      ctx.state.said += 1;
      ctx.broadcast(said, { room: ctx.self.key, number: ctx.state.said, from, text });
      return ctx.state.said;
    },
  },
});

/** What one member knows. */
interface MemberState {
  rooms: string[];
  /** The newest last. */
  heard: Said[];
}

export const member = defineActor({
  type: "Member",
  // Every member that there is gets every message exactly once, whether it is in memory or not.
  channels: { rooms: { action: "hear", deliver: "every" } },
  initial: (): MemberState => ({ rooms: [], heard: [] }),
  actions: {
    /** Keeps what is said in a room from now on. */
    join(ctx, name: string) {
      if (!ctx.state.rooms.includes(name)) {
        ctx.state.rooms.push(name);
      }
    },

    /** Keeps no more of what is said in a room. */
    leave(ctx, name: string) {
      ctx.state.rooms = ctx.state.rooms.filter((joined) => joined !== name);
    },

    /** Something was said somewhere. */
    hear(ctx, message: Said) {
      if (ctx.state.rooms.includes(message.room)) {
        ctx.state.heard = [...ctx.state.heard, message].slice(-HEARD_MAX);
      }
    },
  },
  reads: {
    /** What was heard, the newest last. */
    heard: (ctx) => ctx.state.heard,
  },
});
