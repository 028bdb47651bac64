//! The setting `node_signature`: an authorised user attests this node.

use anyhow::{Context, anyhow};
use dm_core::{
    Address,
    config::NodeConfig,
    node_attestation::{NodeAttestation, NodeDomain, NodeSignature, NodeStatement},
};
use dm_services::Authorizer;

/// The attestation of the node of this account and peer id, if the configuration has
/// one.
///
/// # Errors
/// Where the user is not authorised or has not signed for this node: it does
/// not start then.
pub(crate) async fn check(
    config: &NodeConfig,
    users: &Authorizer,
    account: Address,
    peer_id: &str,
) -> anyhow::Result<Option<NodeAttestation>> {
    let Some(setting) = &config.node_signature else {
        return Ok(None);
    };
    let NodeSignature { user_id, signature } = setting.parse().context("node_signature")?;
    let statement = NodeStatement {
        account,
        node_id: config.node_id.clone(),
        peer_id: peer_id.to_owned(),
        statement: NodeDomain::V1,
        user_id: user_id.clone(),
    };
    let text = statement.canonical()?;
    let key = users.verify(&user_id, &text, &signature).await.map_err(|error| {
        anyhow!("node_signature: {error}: {user_id} must sign {text}, or leave the setting out")
    })?;
    Ok(Some(NodeAttestation {
        user_id,
        node_id: statement.node_id,
        key: key.fingerprint,
        key_kind: key.kind,
        signature,
    }))
}
