//! Contacts.

use clap::{Args, Subcommand};
use dm_core::{
    Address,
    address::parse_address,
    contact::{ContactName, Trust},
};

use super::InternalClientArgs;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ContactsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<ContactsCommand>,
    #[command(flatten)]
    pub(crate) client: InternalClientArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ContactsCommand {
    /// Give an address a name, or change what is known under the name
    Add(AddContactArgs),
    /// Show one contact
    Show {
        /// Its name
        name: ContactName,
        #[command(flatten)]
        client: InternalClientArgs,
    },
    /// Confirm that the address record of a contact may have changed
    Confirm {
        /// Its name
        name: ContactName,
        #[command(flatten)]
        client: InternalClientArgs,
    },
    /// Remove a contact
    Remove {
        /// Its name
        name: ContactName,
        #[command(flatten)]
        client: InternalClientArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AddContactArgs {
    /// What it is called: a letter and up to 31 more letters, digits, `_`, `.` or `-`
    pub(crate) name: ContactName,
    /// Its address
    #[arg(value_parser = parse_address)]
    pub(crate) address: Address,
    #[arg(long, default_value_t = Trust::Accept,
        help = format!("What happens to what it shares: {}", Trust::names()))]
    pub(crate) trust: Trust,
    /// What you note about it
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
    #[command(flatten)]
    pub(crate) client: InternalClientArgs,
}
