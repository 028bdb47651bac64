//! `dm-node vouch`: what a user signs to attest a node, or the signed setting.

use anyhow::Context;
use dm_core::node_attestation::{NodeDomain, NodeStatement};

use crate::{cli::VouchArgs, order, output};

/// Prints the text alone, or the value of `node_signature`.
pub(crate) async fn run(args: VouchArgs) -> anyhow::Result<()> {
    let client = args.client.connect()?;
    let node = client.get("/authorization", &[]).await?;
    let field = |name: &str| node[name].as_str().context("the node's answer makes no sense");
    let statement = NodeStatement {
        account: field("log")?.parse()?,
        node_id: field("node_id")?.to_owned(),
        peer_id: field("peer_id")?.to_owned(),
        statement: NodeDomain::V1,
        user_id: args.user.clone(),
    };
    let text = statement.canonical()?;
    match &args.user_key {
        None => output::print_raw(text.as_bytes()),
        Some(file) => {
            let signature = order::signing_key(file)?.sign(&text)?;
            output::print_raw(format!("{}:{signature}\n", args.user).as_bytes())
        }
    }
}
