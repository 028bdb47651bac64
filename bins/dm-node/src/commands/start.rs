//! What `dev` and `run` have in common: a start that works as a whole or
//! leaves nothing behind.

use std::net::{SocketAddr, TcpListener};

use anyhow::Context;
use dm_api::ApiServers;
use dm_core::{config::NodeConfig, services::RegisteredPlugins};
use dm_keys::NodeKeys;

use crate::{data_dir_lock::DataDirLock, home::FreshDir, logging, node::Node};

/// Starts a node with the keys that `keys` opens or makes. Ports are taken
/// before anything is written.
///
/// # Errors
/// Where any part of it does not start. A data directory that was not there
/// before is gone then.
pub(crate) async fn start(
    config: &NodeConfig,
    plugins: RegisteredPlugins,
    keys: impl AsyncFnOnce(&NodeConfig) -> anyhow::Result<NodeKeys>,
) -> anyhow::Result<Node> {
    let log_filter = logging::start(&config.log)?;
    let servers = ApiServers::bind(&config.internal_api, &config.external_api, config.uploads)?;
    ensure_free(SocketAddr::new(config.network.host, config.p2p_port))?;
    let fresh = FreshDir::watch(&config.data_dir);
    let keys = keys(config).await?;
    let lock = DataDirLock::take(&config.data_dir)?;
    let node = Node::start(lock, config, &keys, servers, log_filter, plugins).await?;
    fresh.keep();
    Ok(node)
}

/// The network layer takes its port late, when files are written already.
fn ensure_free(address: SocketAddr) -> anyhow::Result<()> {
    TcpListener::bind(address).with_context(|| format!("cannot listen on {address} for peers"))?;
    Ok(())
}
