/**
 * The conformance program of this SDK: what it does is told in tests/conformance.md. CALLBOARD_CONFORMANCE says which of
 * its two halves runs.
 */
import { runClient } from "./client.js";
import { runHost } from "./host.js";

const role = process.env["CALLBOARD_CONFORMANCE"] ?? "host";
await (role === "client" ? runClient() : runHost());
