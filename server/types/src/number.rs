//! Numbers that must not be mixed up.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub u64);

        impl $name {
            /// The number before the first real one.
            pub const ZERO: Self = Self(0);

            /// The number after this one.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// A node of the cluster. Never used twice in the life of a cluster; 0 is nobody.
    NodeId
}
number! {
    /// A host session on the node that accepted it. 0 is nobody.
    SessionId
}
number! {
    /// Raised by the control plane each time a shard changes owner; the fencing token of the shard. 0 is "never owned".
    Epoch
}
number! {
    /// Counts the turns of an actor that were committed or wait to be. 0 is "no turn yet". Never goes down.
    Revision
}
