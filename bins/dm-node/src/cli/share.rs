//! The arguments of `dm-node share`.

use std::path::PathBuf;

use clap::Args;
use dm_core::{Address, address::parse_address};

use super::ClientArgs;

#[derive(Debug, Args)]
pub(crate) struct ShareArgs {
    /// The file; `-` reads standard input
    pub(crate) file: PathBuf,
    /// Address of the recipient
    #[arg(long, value_parser = parse_address)]
    pub(crate) to: Address,
    /// What the recipient pays, in the smallest unit of --payment-token
    #[arg(long, value_name = "AMOUNT", requires = "payment_token")]
    pub(crate) payment_amount: Option<String>,
    /// The contract of the token that the recipient pays with
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address, requires = "payment_amount")]
    pub(crate) payment_token: Option<Address>,
    /// After how long it is erased everywhere, such as 12h or 30d
    #[arg(long, value_name = "DURATION")]
    pub(crate) expires: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}
