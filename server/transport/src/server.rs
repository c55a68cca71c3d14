//! The HTTP/2 limits of every listener. tonic's defaults are not fit to be exposed: it announces no limit on streams.

use std::time::Duration;

use tonic::transport::Server;

/// Streams that one connection may have open.
///
/// Unary callers multiplex on one connection, and each call that waits for its actor holds a stream: 1,000 callers of a
/// busy actor must fit. An idle stream costs the server about 10 KiB, so that a hostile connection holds 40 MiB at most.
pub const STREAMS_MAX: u32 = 4_096;
/// Bytes that a peer may send ahead on one connection, and on one stream.
///
/// Small frames under a small window make h2 give up the connection ("too_many_data_frames") once a few hundred calls
/// are in flight; 16 MiB carried 8,192 calls. The adaptive window starts small, so it is never used.
pub const WINDOW_BYTES: u32 = 16 * 1024 * 1024;
/// Largest HTTP/2 frame. Bigger ones would let one message delay the others on its connection.
pub const FRAME_BYTES_MAX: u32 = 64 * 1024;
/// Largest header list of one request.
pub const HEADER_LIST_BYTES_MAX: u32 = 16 * 1024;
/// Streams that a peer may reset before they were accepted, until its connection is closed (rapid reset).
pub const PENDING_RESETS_MAX: usize = 64;
/// Streams that a peer may make us reset, until its connection is closed (MadeYouReset).
pub const LOCAL_RESETS_MAX: usize = 1_024;
/// How long a connection may be silent before it is asked for a sign of life.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// How long the sign of life may take.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Puts the limits on a server. Messages are limited where a service is made:
/// `max_decoding_message_size(callboard_types::limits::MESSAGE_BYTES_MAX)`.
///
/// TCP settings are [`crate::accept`]'s: tonic ignores its own when it is handed connections.
#[must_use]
pub fn configure<L>(server: Server<L>) -> Server<L> {
    server
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .http2_adaptive_window(Some(false))
        .max_frame_size(FRAME_BYTES_MAX)
        .http2_max_header_list_size(HEADER_LIST_BYTES_MAX)
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS_MAX))
        .http2_max_local_error_reset_streams(Some(LOCAL_RESETS_MAX))
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
}

#[cfg(test)]
mod tests;
