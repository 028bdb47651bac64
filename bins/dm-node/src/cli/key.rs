use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{ConfirmArgs, RunArgs, TrustArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// List the versions of the key-encryption key and what they wrap, and the keys for grants
    List(KeyPlace),
    /// Make a new version of the key-encryption key
    Rotate {
        /// Make a new key for grants instead; older grants still open
        #[arg(long)]
        hpke: bool,
        #[command(flatten)]
        place: KeyPlace,
    },
    /// Destroy an old version of the key-encryption key that nothing needs any more
    Destroy {
        /// Its number
        version: u32,
        #[command(flatten)]
        confirm: ConfirmArgs,
        #[command(flatten)]
        place: KeyPlace,
    },
    /// Change the master password: the old one comes from KEY_MASTER_PASSWORD, the new one
    /// from NEW_KEY_MASTER_PASSWORD (or from the files that these with _FILE name), or both
    /// are asked for
    ChangePassword(KeyPlace),
    /// Take over the older node's encryption_keys.json
    Import {
        /// The file
        file: PathBuf,
        /// File with the older node's password, where it is another one
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        #[command(flatten)]
        node: RunArgs,
    },
}

/// Where the keys are: in the data directory of a node that does not run, or with one that
/// does.
#[derive(Debug, Args)]
pub(crate) struct KeyPlace {
    /// Have the running node do it: URL of its API for operators
    #[arg(long, value_name = "URL")]
    pub(crate) api: Option<String>,
    /// API key for the running node
    #[arg(long, env = "DM_API_KEY", hide_env_values = true, default_value = "")]
    pub(crate) api_key: String,
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    #[command(flatten)]
    pub(crate) node: RunArgs,
}
