//! The command line.

use std::{convert::Infallible, path::PathBuf};

use clap::{Args, Parser, Subcommand};
use dm_core::{contact::Party, hash::DataHash};

mod api_key;
mod backup;
mod client;
mod contacts;
mod inbox;
mod key;
mod migrate;
mod money;
mod share;
mod user;

pub(crate) use api_key::CreateApiKeyArgs;
pub(crate) use backup::{BackupCommand, BackupCreateArgs, BackupRestoreArgs};
use client::INTERNAL_API;
pub(crate) use client::{ClientArgs, InternalClientArgs, SupportBundleArgs, TrustArgs};
pub(crate) use contacts::{ContactsArgs, ContactsCommand};
pub(crate) use inbox::{AckArgs, GetArgs, InboxArgs};
pub(crate) use key::{KeyCommand, KeyPlace};
pub(crate) use migrate::MigrateArgs;
pub(crate) use money::{
    AmountArgs, BalanceArgs, ConfirmArgs, TokensArgs, TokensCommand, TransferArgs, TransfersArgs,
    TransfersCommand,
};
pub(crate) use share::{
    DescriptionArgs, GrantArgs, OrderArgs, PriceArgs, ShareArgs, SharesArgs, StatementArgs,
};
pub(crate) use user::{AddUserArgs, UserCommand, VouchArgs};

/// Shares data between organisations: encrypted for the recipient, spread over
/// peers, recorded on an EVM chain.
#[derive(Debug, Parser)]
#[command(name = "dm-node", version, max_term_width = 100)]
pub(crate) struct Cli {
    /// Print one JSON document instead of text.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a node on the embedded chain with throw-away keys, for trying and developing
    Dev(DevArgs),
    /// Make the keys and the configuration of a new node
    Init(InitArgs),
    /// Run the node
    Run(RunArgs),
    /// Serve the embedded chain as a JSON-RPC server of its own
    Devnet(DevnetArgs),
    /// Check or print the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look at what a node needs around it, and say what to do; ends with 1 for warnings, 2 for faults
    Doctor(RunArgs),
    /// Make an archive for who helps with a node: settings, health and findings, without secrets
    SupportBundle(Box<SupportBundleArgs>),
    /// Manage API keys in the data directory, whether or not the node runs
    #[command(subcommand)]
    ApiKey(ApiKeyCommand),
    /// Manage the node's own keys and its master password
    #[command(subcommand)]
    Key(KeyCommand),
    /// Manage the authorised users of a running node
    #[command(subcommand)]
    User(UserCommand),
    /// Show, add or remove names for addresses
    Contacts(ContactsArgs),
    /// Print what an authorised user signs to vouch for a node
    Vouch(VouchArgs),
    /// Print what an authorised user signs to order a share
    Statement(StatementArgs),
    /// Share a file or a folder with addresses or contacts
    Share(ShareArgs),
    /// Show what a running node has shared, and where each share stands
    Shares(SharesArgs),
    /// Fetch data by its hash, or by its name in the inbox
    Get(GetArgs),
    /// Show what others have shared with a running node
    Inbox(InboxArgs),
    /// Tell the sender that its data was read and checked here
    Ack(AckArgs),
    /// Let a further address or contact read data
    Grant(GrantArgs),
    /// Make, check and restore backups
    #[command(subcommand)]
    Backup(BackupCommand),
    /// Move a stopped node to other stores: into a database and a bucket, or back
    Migrate(MigrateArgs),
    /// Withdraw a reader's access to data that this node has shared
    Revoke(RevokeArgs),
    /// Erase data for good
    Erase(EraseArgs),
    /// Check a share against the chain
    Verify(VerifyArgs),
    /// Show how a running node is
    Status(StatusArgs),
    /// Watch a running node on one live screen: health, rates, peers, shares, events
    Top(TopArgs),
    /// Show the peers that a running node knows
    Peers(PeersArgs),
    /// Show, add, issue, mint or allow tokens of a running node
    Tokens(TokensArgs),
    /// Show what an account has
    Balance(BalanceArgs),
    /// Move coins or tokens
    Transfer(TransferArgs),
    /// Show what a running node has done with money, retry or end a refund
    Transfers(TransfersArgs),
    /// Show, enable, disable or reload plugins of a running node
    Plugins(PluginsArgs),
    /// Show what a running node has recorded
    History(HistoryArgs),
    /// Show what happens in a running node
    Events(EventsArgs),
    /// Show, add, pause or remove programs that a running node calls when something happens
    Subscriptions(SubscriptionsArgs),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a folder
    Man {
        /// The folder
        dir: PathBuf,
    },
}

/// Settings that may be given on the command line as well.
#[derive(Debug, Args, Default)]
pub(crate) struct NodeArgs {
    /// Where the node keeps everything
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Name of the node
    #[arg(long)]
    pub(crate) node_id: Option<String>,
    /// Port of the peer-to-peer network (TCP and UDP); 0 lets the system choose
    #[arg(long, value_name = "PORT")]
    pub(crate) p2p_port: Option<u16>,
    /// Port of the API for operators
    #[arg(long, value_name = "PORT")]
    pub(crate) internal_port: Option<u16>,
    /// Port of the API for clients
    #[arg(long, value_name = "PORT")]
    pub(crate) external_port: Option<u16>,
    /// Port of the console in the browser
    #[arg(long, value_name = "PORT")]
    pub(crate) dashboard_port: Option<u16>,
    /// A peer to begin with: multiaddr or host:port; may be repeated
    #[arg(long = "peer", value_name = "ADDRESS")]
    pub(crate) peers: Vec<String>,
    /// JSON-RPC endpoint of the chain, or `devnet`
    #[arg(long, value_name = "URL")]
    pub(crate) blockchain_url: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// Find other nodes on the local network by multicast, and let them in
    #[arg(long)]
    pub(crate) mdns: bool,
    #[command(flatten)]
    pub(crate) options: NodeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Configuration file of the new node, which is there already; without it one is made
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data_dir", "blockchain_url"])]
    pub(crate) config: Option<PathBuf>,
    /// Where the node will keep everything
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// JSON-RPC endpoints of its chain, or `devnet` for the embedded one
    #[arg(long, value_name = "URL")]
    pub(crate) blockchain_url: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Configuration file (default: dm-node.toml in the data directory or here)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) options: NodeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DevnetArgs {
    /// Port of the JSON-RPC server; 0 lets the system choose
    #[arg(long, default_value_t = 8545)]
    pub(crate) port: u16,
    /// Where the chain is kept
    #[arg(long, value_name = "DIR", default_value = "dm-devnet")]
    pub(crate) data_dir: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every fault of the configuration, one a line
    Check(RunArgs),
    /// Print the default file with its comments
    Default,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ApiKeyCommand {
    /// Make a key and print it; it is never shown again
    Create(Box<CreateApiKeyArgs>),
    /// List all keys
    List(RunArgs),
    /// End a key at once
    Revoke {
        /// The key's id
        id: String,
        #[command(flatten)]
        node: RunArgs,
    },
}

/// Where a chain on this machine is.
const LOCAL_CHAIN: &str = "http://127.0.0.1:8545";

/// Takes an empty text, as an environment variable may be, for the default.
fn or_default(default: &'static str) -> impl Fn(&str) -> Result<String, Infallible> + Clone {
    move |text| {
        let text = text.trim();
        Ok(if text.is_empty() { default } else { text }.to_owned())
    }
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// URL of the node's API for operators, which names the instances
    #[arg(long, env = "DM_INTERNAL_API_URL", default_value = INTERNAL_API, value_parser = or_default(INTERNAL_API))]
    pub(crate) internal_api: String,
}

#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    /// The data hash
    pub(crate) hash: DataHash,
    /// Who shall not be able to read it any more: an address, or the name of a contact
    #[arg(long)]
    pub(crate) from: Party,
    #[command(flatten)]
    pub(crate) confirm: ConfirmArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct EraseArgs {
    /// The data hash
    pub(crate) hash: DataHash,
    #[command(flatten)]
    pub(crate) confirm: ConfirmArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
#[group(id = "what", required = true, multiple = false, args = ["hash", "receipt"])]
pub(crate) struct VerifyArgs {
    /// The data hash, for a running node to verify
    pub(crate) hash: Option<DataHash>,
    /// A receipt, to be verified with a chain and no node; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) receipt: Option<PathBuf>,
    /// Public key (PEM) or file with the Ethereum address of the user who is said to have ordered it
    #[arg(long, value_name = "FILE", requires = "receipt")]
    pub(crate) user_key: Option<PathBuf>,
    /// JSON-RPC endpoint of the chain, for --receipt
    #[arg(long, env = "BLOCKCHAIN_URL", default_value = LOCAL_CHAIN, value_parser = or_default(LOCAL_CHAIN))]
    pub(crate) chain: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PeersArgs {
    /// Only healthy peers
    #[arg(long)]
    pub(crate) healthy: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct PluginsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<PluginsCommand>,
    #[command(flatten)]
    pub(crate) client: InternalClientArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PluginsCommand {
    /// Switch a plugin on, for good
    Enable {
        /// Its name
        name: String,
        #[command(flatten)]
        client: InternalClientArgs,
    },
    /// Switch a plugin off, for good
    Disable {
        /// Its name
        name: String,
        #[command(flatten)]
        client: InternalClientArgs,
    },
    /// Load a plugin anew, or for the first time
    Reload {
        /// Its name
        name: String,
        #[command(flatten)]
        client: InternalClientArgs,
    },
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct SubscriptionsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<SubscriptionsCommand>,
    #[command(flatten)]
    pub(crate) client: InternalClientArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SubscriptionsCommand {
    /// Have a program called for each event
    Add(AddSubscriptionArgs),
    /// Stop its calls for a time
    Pause(SubscriptionArgs),
    /// Go on with its calls, with all that has happened meanwhile
    Resume(SubscriptionArgs),
    /// Deliver again what came after a place, what was given up included
    Replay {
        #[command(flatten)]
        subscription: SubscriptionArgs,
        /// Id of the event after which to begin, or a cursor
        cursor: String,
    },
    /// Show the events that were given up
    Failed(SubscriptionArgs),
    /// End its calls for good
    Remove(SubscriptionArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SubscriptionArgs {
    /// Id of the subscription
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) client: InternalClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AddSubscriptionArgs {
    /// Name of the subscription
    pub(crate) name: String,
    /// Where the program is called
    pub(crate) url: String,
    /// Topics such as data.shared, or groups such as data.*, comma-separated; none is all
    #[arg(long, default_value = "")]
    pub(crate) topics: String,
    /// Only events that have this: from=ADDRESS, recipient=ADDRESS or label.KEY=VALUE
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub(crate) filter: Vec<(String, String)>,
    /// Where to begin: now, beginning, or a cursor
    #[arg(long, default_value = "now")]
    pub(crate) start: String,
    #[command(flatten)]
    pub(crate) client: InternalClientArgs,
}

fn name_and_value(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Only these topics, such as data.shared, or groups such as data.*, comma-separated
    #[arg(long)]
    pub(crate) topics: Option<String>,
    /// Where to go on: the cursor of an earlier answer, or the id of an event
    #[arg(long)]
    pub(crate) cursor: Option<String>,
    /// At most this many events at once
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: usize,
    /// Go on with each event as it happens, from now on where no cursor is given
    #[arg(long)]
    pub(crate) follow: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// Only these event types, comma-separated
    #[arg(long, value_name = "TYPES")]
    pub(crate) filters: Option<String>,
    /// At most this many events
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: usize,
    /// Where to go on, from `next_cursor`
    #[arg(long)]
    pub(crate) cursor: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}
