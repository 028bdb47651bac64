//! Sharing, and who orders it.

use std::path::PathBuf;

use clap::Args;
use dm_core::{
    Address,
    address::parse_address,
    contact::Party,
    descriptor::{CorrelationId, MediaType, ObjectName},
    hash::DataHash,
    user::UserId,
};

use super::ClientArgs;

#[derive(Debug, Args)]
pub(crate) struct ShareArgs {
    /// The file or folder; `-` reads standard input
    pub(crate) file: PathBuf,
    /// A recipient: an address, or the name of a contact; may be repeated, or several
    /// separated by commas
    #[arg(long, required = true, value_delimiter = ',')]
    pub(crate) to: Vec<Party>,
    /// After how long it is erased everywhere, such as 12h or 30d
    #[arg(long, value_name = "DURATION")]
    pub(crate) expires: Option<String>,
    #[command(flatten)]
    pub(crate) description: DescriptionArgs,
    #[command(flatten)]
    pub(crate) price: PriceArgs,
    #[command(flatten)]
    pub(crate) order: OrderArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// What the readers of the data are told of it.
#[derive(Debug, Args)]
pub(crate) struct DescriptionArgs {
    /// Its name (default: the name of the file; of a folder, with .tar behind it)
    #[arg(long)]
    pub(crate) name: Option<ObjectName>,
    /// Its media type, such as application/pdf
    #[arg(long, value_name = "TYPE")]
    pub(crate) media_type: Option<MediaType>,
    /// A label to sort it by; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    pub(crate) labels: Vec<(String, String)>,
    /// What it belongs to
    #[arg(long, value_name = "ID")]
    pub(crate) correlation_id: Option<CorrelationId>,
    /// Hash of the data whose place it takes
    #[arg(long, value_name = "HASH")]
    pub(crate) supersedes: Option<DataHash>,
}

fn label(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("must be like key=value")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// What a share costs.
#[derive(Debug, Args)]
pub(crate) struct PriceArgs {
    /// What the recipient pays, in the smallest unit of --payment-token
    #[arg(long, value_name = "AMOUNT", requires = "payment_token")]
    pub(crate) payment_amount: Option<String>,
    /// The contract of the token that the recipient pays with
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address, requires = "payment_amount")]
    pub(crate) payment_token: Option<Address>,
}

/// The authorised user who orders a share: signed here with a key, or elsewhere.
#[derive(Debug, Args)]
pub(crate) struct OrderArgs {
    /// The authorised user who orders it
    #[arg(long, value_name = "ID")]
    pub(crate) user: Option<UserId>,
    /// The user's private key: PEM (PKCS #8) or the hex digits of an Ethereum account
    #[arg(long, value_name = "FILE", requires = "user", conflicts_with_all = ["statement", "signature"])]
    pub(crate) user_key: Option<PathBuf>,
    /// How long the order is good, with --user-key
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    pub(crate) valid_for: String,
    /// What the user has signed elsewhere, as `dm-node statement` printed it
    #[arg(long, value_name = "FILE", requires_all = ["user", "signature"])]
    pub(crate) statement: Option<PathBuf>,
    /// The signature: base64, or 0x and hex digits of an Ethereum account
    #[arg(long, value_name = "TEXT", requires_all = ["user", "statement"])]
    pub(crate) signature: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct GrantArgs {
    /// The data hash
    pub(crate) hash: DataHash,
    /// Who shall be able to read it: an address, or the name of a contact
    #[arg(long)]
    pub(crate) to: Party,
    #[command(flatten)]
    pub(crate) order: OrderArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
#[group(id = "data", required = true, multiple = false, args = ["file", "hash"])]
pub(crate) struct StatementArgs {
    /// The file that is to be shared
    pub(crate) file: Option<PathBuf>,
    /// The hash of data that is shared already, for a grant
    #[arg(long)]
    pub(crate) hash: Option<DataHash>,
    /// Address of the recipient
    #[arg(long, value_parser = parse_address)]
    pub(crate) to: Address,
    /// The authorised user who will sign it
    #[arg(long, value_name = "ID")]
    pub(crate) user: UserId,
    /// How long the order is good
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    pub(crate) valid_for: String,
    #[command(flatten)]
    pub(crate) price: PriceArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SharesArgs {
    /// One piece of data by its hash, with all that is known of it; or all with this name
    #[arg(value_name = "HASH-OR-NAME")]
    pub(crate) data: Option<String>,
    /// Only with this recipient
    #[arg(long, value_name = "ADDRESS-OR-NAME")]
    pub(crate) to: Option<Party>,
    /// Only with this label; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = asked_label)]
    pub(crate) labels: Vec<(String, String)>,
    /// Only in these states, comma-separated: shared, notified, acknowledged, revoked, erased,
    /// expired
    #[arg(long)]
    pub(crate) state: Option<String>,
    /// At most this many shares
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: usize,
    /// Where to go on, from `next_cursor`
    #[arg(long)]
    pub(crate) cursor: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// The parameter that asks for a label, and its value.
pub(super) fn asked_label(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = label(text)?;
    Ok((format!("label.{key}"), value))
}
