//! What others have shared with a node.

use std::path::PathBuf;

use clap::Args;
use dm_core::contact::Party;

use super::{ClientArgs, share::asked_label};

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// The data hash, or the name of the newest item of the inbox that has it
    #[arg(value_name = "HASH-OR-NAME")]
    pub(crate) data: String,
    /// Where to write it; - is standard output (the default). A folder is unpacked into a new one, unless
    /// this ends with .tar
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Write it into a new file or folder in the current one, under the name that the owner gives it
    #[arg(short = 'O', long, conflicts_with = "output")]
    pub(crate) named: bool,
    /// Leave a folder packed, as a tar archive
    #[arg(long)]
    pub(crate) archive: bool,
    /// Tell which peers were asked and what each of them sent, on standard error
    #[arg(long)]
    pub(crate) explain: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AckArgs {
    /// The data hash, or the name of the newest item of the inbox that has it
    #[arg(value_name = "HASH-OR-NAME")]
    pub(crate) data: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct InboxArgs {
    /// Only by this sender
    #[arg(long, value_name = "ADDRESS-OR-NAME")]
    pub(crate) from: Option<Party>,
    /// Only with this name
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Only with this label; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = asked_label)]
    pub(crate) labels: Vec<(String, String)>,
    /// Only in these states, comma-separated: new, fetched, acknowledged, revoked, erased, expired
    #[arg(long)]
    pub(crate) state: Option<String>,
    /// At most this many items
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: usize,
    /// Where to go on, from `next_cursor`
    #[arg(long, conflicts_with = "watch")]
    pub(crate) cursor: Option<String>,
    /// Go on with each item as it comes
    #[arg(long)]
    pub(crate) watch: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}
