//! Callboard's protocol: Rust types and gRPC stubs generated from `proto/callboard`, and nothing else.
//!
//! Conversions between these messages and the vocabulary of `callboard-types` live with whoever uses the message.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    rustdoc::all,
    reason = "the code is generated; the documentation stands in the .proto files and is copied where protobuf allows"
)]

/// Every file of the protocol with its dependencies, as a serialised `FileDescriptorSet`.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/callboard.binpb"));

macro_rules! package {
    ($name:ident, $file:literal) => {
        pub mod $name {
            pub mod v1 {
                include!(concat!(env!("OUT_DIR"), "/", $file, ".rs"));
            }
        }
    };
}

pub mod callboard {
    package!(r#type, "callboard.r#type.v1");
    package!(gateway, "callboard.gateway.v1");
    package!(host, "callboard.host.v1");
    package!(control, "callboard.control.v1");
    package!(peer, "callboard.peer.v1");
    package!(options, "callboard.options.v1");
}

pub use callboard::{control, gateway, host, options, peer, r#type as types};
