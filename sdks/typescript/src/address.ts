/**
 * Actor addresses, as users see them and as the protocol has them.
 */
import type { ActorId } from "./gen/callboard/type/v1/type_pb.js";
import type { ActorAddress } from "./invoker.js";

/** An address as the protocol has it. */
export function addressToId({ system, type, key }: ActorAddress): ActorId {
  return { $typeName: "callboard.type.v1.ActorId", system, type, key };
}

/** An address as users see it. */
export function idToAddress(id: ActorId | undefined): ActorAddress {
  return { system: id?.system || "default", type: id?.type ?? "", key: id?.key ?? "" };
}

/** An address as people read it. */
export function addressText({ type, key }: ActorAddress): string {
  return `${type}/${key}`;
}
