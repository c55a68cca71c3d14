//! Callboard's vocabulary: names, numbers, limits, errors and the view that both planes share.
//!
//! No runtime, no transport, no database. Everything in `server/` may depend on this crate; it depends on nothing of
//! ours. Words are used as `server/ARCHITECTURE.md` defines them.

pub mod actor_id;
pub mod clock;
pub mod definition;
pub mod error;
pub mod lease;
pub mod limits;
pub mod number;
pub mod planted;
pub mod schedule;
pub mod settings;
pub mod shard;
pub mod view;

pub use actor_id::ActorId;
pub use clock::{ClusterClock, Millis, Tick};
pub use definition::{Action, Durability, Kind, TypeDefinition};
pub use error::{CallError, ErrorKind, Retry};
pub use lease::Lease;
pub use number::{Epoch, NodeId, Revision, SessionId};
pub use schedule::{DueCursor, Occurrence, OccurrenceEnd};
pub use settings::TypeSettings;
pub use shard::{ShardId, shard_of};
pub use view::{ClusterView, NodeState, NodeView, ShardOwner, TypeView};
