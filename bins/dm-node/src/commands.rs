//! One module a command.

pub(crate) mod ack;
pub(crate) mod api_key;
pub(crate) mod backup;
pub(crate) mod balance;
pub(crate) mod config;
pub(crate) mod contacts;
pub(crate) mod dev;
pub(crate) mod devnet;
pub(crate) mod doctor;
pub(crate) mod erase;
pub(crate) mod events;
mod explain;
pub(crate) mod get;
mod get_folder;
pub(crate) mod grant;
pub(crate) mod history;
pub(crate) mod inbox;
pub(crate) mod init;
pub(crate) mod key;
pub(crate) mod manual;
pub(crate) mod migrate;
pub(crate) mod peers;
pub(crate) mod plugins;
pub(crate) mod revoke;
pub(crate) mod run;
pub(crate) mod share;
mod share_folder;
pub(crate) mod shares;
pub(crate) mod start;
pub(crate) mod statement;
pub(crate) mod status;
pub(crate) mod subscriptions;
pub(crate) mod support_bundle;
pub(crate) mod tokens;
pub(crate) mod top;
pub(crate) mod transfer;
pub(crate) mod transfers;
pub(crate) mod user;
pub(crate) mod verify;
pub(crate) mod vouch;

use anyhow::Context;

use crate::client::NodeClient;

/// The operator account of a running node.
async fn operator(client: &NodeClient) -> anyhow::Result<String> {
    let account = client.get("/account", &[]).await?;
    let operator = account["operator"].as_str();
    operator
        .map(str::to_owned)
        .context("the node's answer makes no sense")
}
