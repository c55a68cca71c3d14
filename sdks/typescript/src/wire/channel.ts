/**
 * gRPC channels as this SDK opens them: plaintext by default, kept alive without calls, without a cache between two
 * connection attempts, and with the protocol's own limits instead of gRPC's defaults.
 */
import type { ChannelCredentials } from "@grpc/grpc-js";
import { Client, credentials } from "@grpc/grpc-js";

/** Where a server is if nobody says otherwise. */
export const DEFAULT_SERVER = "127.0.0.1:7070";

/** How to reach a server. */
export interface ServerOptions {
  /**
   * host:port of a node, or of several: a list, or one text with commas. Default: the environment variable
   * CALLBOARD_SERVER, else 127.0.0.1:7070.
   */
  readonly server?: string | readonly string[];
  /** Default: plaintext. */
  readonly credentials?: ChannelCredentials;
}

/** Longest wait for a connection; a node that is there and says nothing is given up like one that is not. */
export const CONNECT_TIMEOUT_MS = 5_000;

const WINDOW_BYTES = 16 * 1024 * 1024;

const CHANNEL_OPTIONS = {
  "grpc.keepalive_time_ms": 20_000,
  "grpc.keepalive_timeout_ms": 10_000,
  "grpc.keepalive_permit_without_calls": 1,
  "grpc.use_local_subchannel_pool": 1,
  "grpc.initial_reconnect_backoff_ms": 50,
  "grpc.max_reconnect_backoff_ms": 1_000,
  "grpc.enable_retries": 0,
  "grpc.max_receive_message_length": -1,
  "grpc.max_send_message_length": -1,
  "grpc-node.flow_control_window": WINDOW_BYTES,
};

/** A silent node is given up early enough for its calls to be answered elsewhere inside the default timeout. */
const FAILOVER_OPTIONS = { "grpc.keepalive_time_ms": 10_000, "grpc.keepalive_timeout_ms": 5_000 };

const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:|$)/;

/** The addresses that the options, or else the environment, name. At least one, each once, in their order. */
export function serverAddresses(options: ServerOptions): readonly string[] {
  const given = options.server ?? process.env["CALLBOARD_SERVER"] ?? "";
  const named = (typeof given === "string" ? [given] : given)
    .flatMap((text) => text.split(","))
    .map((text) => text.trim().replace(/^https?:\/\//, "").replace(/\/$/, ""))
    .filter((text) => text !== "");
  return named.length === 0 ? [DEFAULT_SERVER] : [...new Set(named)];
}

/**
 * Opens a channel; the connection is made by its first call.
 *
 * @param failover True if others can answer in place of this node, so that a silent one is left sooner.
 * @throws Error if the address is not one.
 */
export function openChannel(address: string, options: ServerOptions, failover = false): Client {
  // grpc-js takes the proxy of the environment even to this very machine, where no proxy can reach.
  const proxy = LOOPBACK.test(address) ? { "grpc.enable_http_proxy": 0 } : {};
  const more = failover ? FAILOVER_OPTIONS : {};
  const all = { ...CHANNEL_OPTIONS, ...more, ...proxy };
  return new Client(address, options.credentials ?? credentials.createInsecure(), all);
}
