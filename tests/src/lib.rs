//! What the tests of whole processes share: the crash test with its hosts, clients and faults, the checker that judges
//! what they saw, and the conformance suite of the SDKs. The tests themselves are in `tests/tests/` and `tests/src/bin/`.

pub mod chaos;
pub mod check;
pub mod conformance;
pub mod crash;
pub mod local;
pub mod mesh;
pub mod net;
pub mod ports;
pub mod postgres;
pub mod signal;
