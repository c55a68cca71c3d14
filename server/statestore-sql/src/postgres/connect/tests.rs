//! The driver's trap that an acknowledged write can fall into, and the hook that closes it.

use std::{future::Future, pin::pin, task::Context, task::Waker, time::Duration};

use sea_orm::{ConnectionTrait, TransactionTrait};

use super::*;

#[path = "../../../../../tests/src/postgres.rs"]
#[expect(dead_code, unreachable_pub, reason = "shared with other crates, which use the rest")]
mod server;

/// A `begin` that is given up at any point leaves no transaction for the next user of its connection, whose write would
/// be acknowledged and never committed.
#[tokio::test]
async fn a_cancelled_begin_takes_no_later_write_with_it() {
    let url = server::Postgres::shared().database();
    let base = PgConnectOptions::from_str(&url).expect("an address");
    let pool = pool(&base).await.expect("connect");
    pool.execute_unprepared("CREATE TABLE acknowledged (n bigint)").await.expect("create");
    let mut written = 0;
    for round in 0..120_u64 {
        {
            let mut beginning = pin!(pool.begin());
            for _ in 0..round % 6 {
                let mut context = Context::from_waker(Waker::noop());
                if beginning.as_mut().poll(&mut context).is_ready() {
                    break;
                }
                // The answer comes from another process: sometimes before the next look, sometimes not.
                tokio::time::sleep(Duration::from_micros(round * 37 % 900)).await;
            }
        }
        let insert = format!("INSERT INTO acknowledged VALUES ({round})");
        let done = pool.execute_unprepared(&insert).await.expect("acknowledged");
        written += done.rows_affected();
    }
    assert_eq!(written, 120);
    pool.close().await.expect("close");
    assert_eq!(server::sql(&url, "SELECT count(*) FROM acknowledged"), written.to_string());
}
