use clap::{Args, Subcommand};
use dm_core::{Address, address::parse_address, contact::Party, operation::OperationId};

use super::InternalClientArgs;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct TokensArgs {
    #[command(subcommand)]
    pub(crate) command: Option<TokensCommand>,
    #[command(flatten)]
    pub(crate) client: InternalClientArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokensCommand {
    /// Support a token that is on the chain
    Add {
        /// Its contract
        #[arg(value_parser = parse_address)]
        address: Address,
        #[command(flatten)]
        client: InternalClientArgs,
    },
    /// Ask a supported token again for its symbol, name and decimal places
    Refresh {
        /// Its contract
        #[arg(value_parser = parse_address)]
        address: Address,
        #[command(flatten)]
        client: InternalClientArgs,
    },
    /// Deploy a token that this node owns
    Issue {
        /// Full name
        #[arg(long)]
        name: String,
        /// Short name
        #[arg(long)]
        symbol: String,
        /// Decimal places
        #[arg(long, default_value_t = 18)]
        decimals: u8,
        /// What the node has of it at first, such as 1000 or 0.5
        #[arg(long, default_value = "0")]
        supply: String,
        #[command(flatten)]
        confirm: ConfirmArgs,
        #[command(flatten)]
        client: InternalClientArgs,
    },
    /// Make more of a token that this node has issued
    Mint {
        #[command(flatten)]
        amount: AmountArgs,
        /// Who gets it: an address, or the name of a contact
        #[arg(long)]
        to: Party,
        #[command(flatten)]
        confirm: ConfirmArgs,
        #[command(flatten)]
        client: InternalClientArgs,
    },
    /// Let another account, such as a node that sells data, take tokens from this node; 0
    /// takes that back
    Approve {
        #[command(flatten)]
        amount: AmountArgs,
        /// Who may take them: an address, or the name of a contact
        #[arg(long)]
        spender: Party,
        #[command(flatten)]
        confirm: ConfirmArgs,
        #[command(flatten)]
        client: InternalClientArgs,
    },
}

/// How much of what.
#[derive(Debug, Args)]
pub(crate) struct AmountArgs {
    /// Such as `1.5 DATA`; a whole number alone counts the smallest unit of --token
    #[arg(required = true, num_args = 1..=2, value_names = ["AMOUNT", "SYMBOL"])]
    pub(crate) amount: Vec<String>,
    /// The token's contract (default: the chain's own coin)
    #[arg(long, value_parser = parse_address)]
    pub(crate) token: Option<Address>,
}

/// Whether to ask before something is done that cannot be undone.
#[derive(Debug, Args)]
pub(crate) struct ConfirmArgs {
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BalanceArgs {
    /// The account: an address, or the name of a contact (default: the node's operator account)
    pub(crate) address: Option<Party>,
    /// The token's contract (default: all that the node supports)
    #[arg(long, value_parser = parse_address)]
    pub(crate) token: Option<Address>,
    #[command(flatten)]
    pub(crate) client: InternalClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TransferArgs {
    #[command(flatten)]
    pub(crate) amount: AmountArgs,
    /// Who is paid: an address, or the name of a contact
    #[arg(long)]
    pub(crate) to: Party,
    /// Who pays, having allowed it to the node (default: the node's operator account)
    #[arg(long)]
    pub(crate) from: Option<Party>,
    #[command(flatten)]
    pub(crate) confirm: ConfirmArgs,
    #[command(flatten)]
    pub(crate) client: InternalClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TransfersArgs {
    #[command(subcommand)]
    pub(crate) command: Option<TransfersCommand>,
    /// At most this many
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: usize,
    /// Where to go on, from `next_cursor`
    #[arg(long)]
    pub(crate) cursor: Option<String>,
    #[command(flatten)]
    pub(crate) client: InternalClientArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TransfersCommand {
    /// Try a refund at once that waits for its next attempt
    Retry {
        /// The refund, as `dm-node transfers` names it
        id: OperationId,
        #[command(flatten)]
        client: InternalClientArgs,
    },
    /// End a refund that was settled otherwise: it is never made
    End {
        /// The refund, as `dm-node transfers` names it
        id: OperationId,
        /// How it was settled
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        confirm: ConfirmArgs,
        #[command(flatten)]
        client: InternalClientArgs,
    },
}
