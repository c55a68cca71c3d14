//! What the tests of whole processes share: the crash test with its hosts, clients and faults, and the checker that
//! judges what they saw. The tests themselves are in `tests/tests/` and `tests/src/bin/`.

pub mod check;
pub mod crash;
