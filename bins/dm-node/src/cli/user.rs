//! Authorised users.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use dm_core::{Address, address::parse_address, user::UserId};

use super::{ClientArgs, InternalClientArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Authorise a user to order shares
    Add(AddUserArgs),
    /// List the authorised users
    List(InternalClientArgs),
    /// End a user's authority at once
    Remove {
        /// The user's id
        id: UserId,
        #[command(flatten)]
        client: InternalClientArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct VouchArgs {
    /// The authorised user who attests the node
    #[arg(long, value_name = "ID")]
    pub(crate) user: UserId,
    /// The user's private key, to print the value of node_signature and not what is to be signed
    #[arg(long, value_name = "FILE")]
    pub(crate) user_key: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
#[group(id = "public_key", required = true, multiple = false, args = ["key", "address"])]
pub(crate) struct AddUserArgs {
    /// What it is called: letters, digits, `_`, `.` and `-`
    pub(crate) id: UserId,
    /// File with its public key in PEM: RSA, Ed25519 or P-256
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Its Ethereum account
    #[arg(long, value_parser = parse_address)]
    pub(crate) address: Option<Address>,
    #[command(flatten)]
    pub(crate) client: InternalClientArgs,
}
