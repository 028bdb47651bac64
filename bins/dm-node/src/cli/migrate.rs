//! The move of a node to other stores.

use std::path::PathBuf;

use clap::Args;

use super::RunArgs;

#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    /// Configuration of the node as it shall be: another data directory, and where its stores are
    #[arg(long, value_name = "FILE")]
    pub(crate) to_config: PathBuf,
    /// Copy nothing: compare both, and read every object back
    #[arg(long)]
    pub(crate) check: bool,
    #[command(flatten)]
    pub(crate) node: RunArgs,
}
