//! Backups.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::InternalClientArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum BackupCommand {
    /// Copy a running node into a file
    Create(BackupCreateArgs),
    /// Check that a backup is whole and as its node made it
    Verify {
        /// The backup; `-` reads standard input
        file: PathBuf,
    },
    /// Make the data directory of a node from a backup
    Restore(BackupRestoreArgs),
}

#[derive(Debug, Args)]
pub(crate) struct BackupCreateArgs {
    /// Where to write it; never overwritten
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) client: InternalClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct BackupRestoreArgs {
    /// The backup; `-` reads standard input
    pub(crate) file: PathBuf,
    /// The data directory to make; it must not hold anything
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
}
