//! The store on PostgreSQL.

mod conformance;
#[path = "../../../../tests/src/postgres.rs"]
#[expect(dead_code, unreachable_pub, reason = "shared with other crates, which use the rest")]
mod server;

use server::Postgres;
