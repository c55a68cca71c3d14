//! The driver's trap that an acknowledged write can fall into, and the hook that closes it.

use std::time::Duration;

use sea_orm::{ConnectionTrait, TransactionTrait};

use super::*;

#[path = "../../../../../tests/src/postgres.rs"]
#[expect(dead_code, unreachable_pub, reason = "shared with other crates, which use the rest")]
mod server;

/// A `begin` that is given up at any point leaves no transaction for the next user of its connection, whose write would
/// be acknowledged and never committed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_begin_takes_no_later_write_with_it() {
    const ROUNDS: u64 = 400;
    let url = server::Postgres::shared().database();
    let base = PgConnectOptions::from_str(&url).expect("an address");
    let pool = pool(&base).await.expect("connect");
    pool.execute_unprepared("CREATE TABLE acknowledged (n bigint)").await.expect("create");
    let mut written = 0;
    for round in 0..ROUNDS {
        let beginning = tokio::spawn({
            let pool = pool.clone();
            async move { pool.begin().await.map(drop) }
        });
        #[expect(
            clippy::disallowed_methods,
            reason = "no wait for anything: the task is to be aborted at a different point each time, finer than timers"
        )]
        std::thread::sleep(Duration::from_micros(round * 37 % 1_500));
        beginning.abort();
        let _aborted = beginning.await;
        let insert = format!("INSERT INTO acknowledged VALUES ({round})");
        let done = pool.execute_unprepared(&insert).await.expect("acknowledged");
        written += done.rows_affected();
    }
    assert_eq!(written, ROUNDS);
    pool.close().await.expect("close");
    assert_eq!(server::sql(&url, "SELECT count(*) FROM acknowledged"), written.to_string());
}
