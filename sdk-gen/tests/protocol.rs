//! Callboard's own protos, as buf sees them.

use std::{path::Path, process::Command};

#[test]
fn the_protocol_is_clean_and_breaks_nothing_since_its_baseline() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/scripts/buf.sh");
    let output = Command::new(script).arg("check").output().expect("bash runs the script");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}
