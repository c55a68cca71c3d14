//! What the statements say and how SQLite carries them out.

use super::*;
use crate::{columns::Columns, sqlite::lane::Parameters};

#[test]
fn any_number_of_rows_is_split_without_rest() {
    for count in 0..1_000 {
        let parts: Vec<usize> = chunks(count, 256).collect();
        assert_eq!(parts.iter().sum::<usize>(), count);
        assert!(parts.iter().all(|part| (1..=256).contains(part)));
        assert!(parts.len() <= count / 256 + 2);
    }
}

#[test]
fn the_upsert_expects_the_previous_revision_and_does_not_keep_it() {
    let text = build(Shape::Upsert { rows: 2, begin: false });
    assert!(text.contains(r#"WHERE "actors"."revision" = "excluded"."prev_revision""#), "{text}");
    assert!(text.contains(r#""prev_revision" = 0"#), "{text}");
    assert_eq!(text.matches('?').count(), 2 * ACTOR_COLUMNS.len());
}

/// The steps that SQLite takes for a statement, in a fresh database.
async fn plan(shape: Shape) -> Vec<String> {
    let folder = tempfile::TempDir::new().expect("a folder");
    let options = crate::SqliteOptions::new(folder.path());
    let folder = crate::sqlite::folder::Folder::hold(folder.path()).expect("hold");
    let pool = crate::sqlite::connect::open(&folder, &options).await.expect("open");
    let mut lane = crate::sqlite::connect::lane(&pool, 64).await.expect("connect");
    let text = format!("EXPLAIN QUERY PLAN {}", build(shape));
    let rows = lane.rows(text.into(), Parameters::default()).await.expect("plan");
    rows.iter().map(|row| row.text(3).expect("a step").to_owned()).collect()
}

#[tokio::test]
async fn no_statement_reads_a_whole_table_or_sorts() {
    for shape in [
        Shape::UpdateOne,
        Shape::Load { keys: 32 },
        Shape::Revisions { keys: 32 },
        Shape::Answered { sequences: 8 },
        Shape::Inbox,
        Shape::Spilled { slot: 3, queries: 2 },
        Shape::List { after_is_excluded: true },
        Shape::List { after_is_excluded: false },
        Shape::Flow(Flow::Tombstones { rows: 32, deleted: true }),
        Shape::Flow(Flow::End { rows: 128 }),
        Shape::Flow(Flow::Advance),
        Shape::Flow(Flow::Finish { rows: 32 }),
        Shape::Flow(Flow::Clear { rows: 32 }),
        Shape::Flow(Flow::ForgetBelow { rows: 128 }),
        Shape::Flow(Flow::ForgetBefore { rows: 32 }),
        Shape::Flow(Flow::AtOnce),
        Shape::Flow(Flow::Delayed),
        Shape::Flow(Flow::Ends),
        Shape::Flow(Flow::Keys),
        Shape::Flow(Flow::PastBelow),
        Shape::Flow(Flow::PastRevision),
        Shape::Flow(Flow::PastTime),
        Shape::Flow(Flow::Letters { of_type: false }),
        Shape::Flow(Flow::Letters { of_type: true }),
        Shape::Flow(Flow::Letter),
    ] {
        let plan = plan(shape).await;
        let whole = |step: &String| {
            let scans = step.starts_with("SCAN") && step != "SCAN CONSTANT ROW";
            scans || step.contains("TEMP B-TREE")
        };
        assert!(!plan.iter().any(whole), "{shape:?}: {plan:#?}");
    }
    let spilled = plan(Shape::Spilled { slot: 3, queries: 1 }).await;
    let by_time = |step: &&String| step.contains("wide=? AND until_ms");
    assert_eq!(spilled.iter().filter(by_time).count(), 2, "{spilled:#?}");
}

#[tokio::test]
async fn keys_of_a_shard_are_read_from_its_own_index() {
    let plan = plan(Shape::Flow(Flow::Keys)).await;
    assert!(
        plan[0].contains("actors_shard (shard=? AND system=? AND type=? AND key>?)"),
        "{plan:?}"
    );
}

#[test]
fn rare_rows_take_few_different_statements() {
    let mut sizes = std::collections::BTreeSet::new();
    for count in 0..1_000 {
        let parts: Vec<usize> = powers(count, 128).collect();
        assert_eq!(parts.iter().sum::<usize>(), count);
        sizes.extend(parts);
    }
    assert_eq!(sizes.into_iter().collect::<Vec<_>>(), [1, 2, 4, 8, 16, 32, 64, 128]);
}
