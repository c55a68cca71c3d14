/**
 * How attempts of calls reach the server: all over one stream (the default), or each as a unary call of its own.
 */
import type { InvokeRequest, InvokeResponse } from "../gen/callboard/gateway/v1/gateway_pb.js";
import type { CallboardError } from "../errors.js";

/** What came of one attempt. */
export type AttemptEnd<R = InvokeResponse> =
  | { readonly case: "response"; readonly value: R }
  | { readonly case: "error"; readonly value: CallboardError };

/** Sends attempts. It never retries by itself. */
export interface Transport {
  /** Sends one attempt. `done` is called once, unless the returned function is called before. */
  attempt(request: InvokeRequest, done: (end: AttemptEnd) => void): () => void;
  /** Ends all connections; attempts under way fail. */
  close(): void;
}
