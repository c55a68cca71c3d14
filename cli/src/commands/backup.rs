//! `callboard backup FILE`.

use std::{
    fs::{self, File},
    io::Write,
    path::PathBuf,
};

use callboard_proto::control::v1::BackupControlPlaneRequest;
use clap::Args;
use tokio_stream::StreamExt;

use crate::{args::Global, failure::Failure};

/// Where the backup goes.
#[derive(Args)]
#[command(
    after_help = "The file holds what the cluster agreed on: its name, systems, actor types with their descriptors, \
    and who\nowned what. `callboard restore FILE` takes it. The state of actors is in the store: back that up \
    with\nits own tools (pg_dump, or .backup of sqlite3), before or after this; `callboard restore --help` says why either \
    will do."
)]
pub(crate) struct BackupArgs {
    /// The file to write; it must not exist
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

// === impl BackupArgs ===

impl BackupArgs {
    /// Writes the file. It is there whole, or not at all.
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let path = &self.file;
        let wrong = |error: std::io::Error| {
            Failure::usage(format!("{} cannot be written: {error}", path.display()))
                .advice("name a new file in a folder that you may write to")
        };
        if path.exists() {
            return Err(wrong(std::io::ErrorKind::AlreadyExists.into()));
        }
        let connection = global.connect().await?;
        let receiving = async {
            let request = BackupControlPlaneRequest {};
            let mut client = connection.cluster();
            let mut pieces = client.backup_control_plane(request).await?.into_inner();
            let temporary = path.with_extension("part");
            let mut file = File::create_new(&temporary).map_err(wrong)?;
            let mut bytes = 0;
            while let Some(piece) = pieces.next().await {
                let chunk = piece.inspect_err(|_| drop(fs::remove_file(&temporary)))?.chunk;
                bytes += chunk.len();
                file.write_all(&chunk).map_err(wrong)?;
            }
            file.sync_all().map_err(wrong)?;
            fs::rename(&temporary, path).map_err(wrong)?;
            Ok::<_, Failure>(bytes)
        };
        let bytes = connection.within_timeout(receiving, "no backup was written").await?;
        global.talk().note(&format!("{} has {bytes} bytes and a checksum", path.display()));
        Ok(())
    }
}
