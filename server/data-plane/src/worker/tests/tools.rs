//! Tools of operators at a worker: what they change is committed in the round that carries them out.

use super::*;

async fn used_once_something_was_added(durability: Durability, tools: &[&str]) {
    for tool in tools {
        let mut stage = Stage::serving(counter(durability));
        let mut added = stage.call("1", "add");
        let turn = stage.run().await.remove(0);
        stage.answer(&turn, "one");
        stage.outcome(&mut added).await.expect("added");
        // No time passes and nothing else comes that could make the worker look at the actor again.
        let mut used = stage.call("2", tool);
        let reply = stage.outcome(&mut used).await.expect("carried out");
        assert!(reply.durable, "{tool}");
        assert_eq!(stage.row().await.revision, reply.revision, "{tool}");
    }
}

#[tokio::test]
async fn a_tool_for_an_actor_in_memory_is_answered_at_once() {
    used_once_something_was_added(Durability::Durable, &["$delete"]).await;
    used_once_something_was_added(Durability::Snapshot, &["$checkpoint", "$delete"]).await;
}
