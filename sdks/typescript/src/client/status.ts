/**
 * Errors of gRPC calls: reads what the server attached to a status, and recognises connections that were lost.
 */
import { fromBinary } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import type { ServiceError } from "@grpc/grpc-js";

import type { RetryAdvice } from "../errors.js";
import { ActorError, CallboardError, Code } from "../errors.js";
import { ErrorInfoSchema, RetryInfoSchema, StatusSchema } from "../gen/google/rpc/status_pb.js";

/** The reason of errors that a lost connection brings about. */
export const CONNECTION_LOST = "CONNECTION_LOST";

/** The reason of errors to which the server gave none: they come from gRPC itself, or from something in between. */
export const UNEXPLAINED = "GRPC_ERROR";

/** What the server's transport says, under CANCELLED, when it ends a call at its deadline by itself. */
const SERVER_TIMEOUT = "Timeout expired";

const DETAILS_KEY = "grpc-status-details-bin";
const DOMAIN = "callboard.io";

/** Keys of ErrorInfo.metadata that say what CallError says in fields of their own. */
const RETRY_KEY = "retry";
const FROM_ACTOR_KEY = "from_actor";

const RETRIES: Readonly<Record<string, RetryAdvice>> = {
  RETRY_SAFE: "safe",
  RETRY_SAME_ID: "same-id",
};

/** Makes an error of gRPC what users of this SDK see. */
export function errorFromStatus(error: ServiceError, server: string): CallboardError {
  const [bytes] = error.metadata?.get(DETAILS_KEY) ?? [];
  const details = bytes instanceof Buffer ? detailsOf(bytes) : [];
  const info = details.map((any) => anyUnpack(any, ErrorInfoSchema)).find((found) => found?.domain === DOMAIN);
  if (info === undefined) {
    return withoutDetails(error, server);
  }
  const delay = details.map((any) => anyUnpack(any, RetryInfoSchema)).find((found) => found !== undefined);
  const retryAfterMs = Number(delay?.retryDelay?.seconds ?? 0n) * 1_000 + (delay?.retryDelay?.nanos ?? 0) / 1e6;
  const { [RETRY_KEY]: retry, [FROM_ACTOR_KEY]: fromActor, ...metadata } = info.metadata;
  const own = details.filter((any) => !isPlatformDetail(any));
  if (fromActor === "true") {
    return new ActorError(error.code as Code, info.reason, error.details, { metadata, details: own });
  }
  return new CallboardError(error.code, info.reason, error.details, {
    metadata,
    details: own,
    retry: retryAdvice(retry, delay !== undefined),
    retryAfterMs,
  });
}

/** The connection to the server broke, or could not be made. */
export function connectionLost(server: string, cause?: Error): CallboardError {
  const why = cause === undefined ? "" : ` (${cause.message})`;
  return new CallboardError(
    Code.UNAVAILABLE,
    CONNECTION_LOST,
    `There is no connection to ${server}${why}. The call may have run; send it again only with the same id.`,
    { retry: "same-id", cause },
  );
}

/** What the server said about retries; if it said nothing, RetryInfo is advice enough for a call that keeps its id. */
function retryAdvice(said: string | undefined, hasDelay: boolean): RetryAdvice {
  if (said === undefined) {
    return hasDelay ? "same-id" : "never";
  }
  return RETRIES[said] ?? "never";
}

function withoutDetails(error: ServiceError, server: string): CallboardError {
  switch (error.code as number) {
    case Code.UNAVAILABLE:
      return connectionLost(server, error);
    case Code.DEADLINE_EXCEEDED:
      return new CallboardError(error.code, "DEADLINE_EXCEEDED", error.details, { cause: error });
    case Code.CANCELLED:
      if (error.details === SERVER_TIMEOUT) {
        return new CallboardError(Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", error.details, { cause: error });
      }
      return new CallboardError(error.code, "CANCELLED", error.details, { cause: error });
    default:
      return new CallboardError(error.code, UNEXPLAINED, error.details, { cause: error });
  }
}

function detailsOf(bytes: Buffer): readonly Any[] {
  try {
    return fromBinary(StatusSchema, bytes).details;
  } catch {
    // A proxy may cut or replace trailers; the status itself still says what happened.
    return [];
  }
}

function isPlatformDetail(any: Any): boolean {
  return any.typeUrl.endsWith("/google.rpc.ErrorInfo") || any.typeUrl.endsWith("/google.rpc.RetryInfo");
}
