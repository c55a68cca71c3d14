//! The gRPC services of this plane: decode, hand over, encode.

pub mod channels;
pub mod control;
pub mod convert;
pub mod dead_letters;
pub mod forward;
pub mod gateway;
pub mod host;
mod tools;
