//! Compiles the protocol with protox, so that no `protoc` is needed.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

const FILES: &[&str] = &[
    "callboard/type/v1/type.proto",
    "callboard/gateway/v1/gateway.proto",
    "callboard/host/v1/host.proto",
    "callboard/control/v1/control.proto",
    "callboard/control/v1/dead_letters.proto",
    "callboard/control/v1/schedules.proto",
    "callboard/peer/v1/peer.proto",
    "callboard/options/v1/options.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo::rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("callboard.binpb"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        // The generated `connect` constructors would clash with HostService.Connect; channels are made by hand anyway.
        .build_transport(false)
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}
