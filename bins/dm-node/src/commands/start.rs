//! What `dev` and `run` have in common: a start that works as a whole or
//! leaves nothing behind.

use std::{
    net::{SocketAddr, TcpListener, UdpSocket},
    sync::Arc,
};

use anyhow::Context;
use dm_api::{ApiServers, Console};
use dm_console::Pages;
use dm_core::config::NodeConfig;
use dm_keys::NodeKeys;
use dm_services::RegisteredPlugins;

use crate::{
    data_dir_format, data_dir_lock::DataDirLock, logging, metrics, node::Node, settings::LoadedConfig,
};

/// Starts a node with the keys that `keys` opens or makes. Ports are taken before
/// anything is written, and the data directory before anything is made in it.
///
/// # Errors
/// Where any part of it does not start. A data directory that was not there
/// before is gone then.
pub(crate) async fn start(
    loaded: &LoadedConfig,
    plugins: RegisteredPlugins,
    keys: impl AsyncFnOnce(&NodeConfig) -> anyhow::Result<NodeKeys>,
) -> anyhow::Result<Node> {
    let config = &loaded.config;
    let log_filter = logging::start(&config.log)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let console = Console {
        node_id: config.node_id.clone(),
        pages: Arc::new(Pages),
        url: config.sign_in.console_url.clone(),
        settings: loaded.settings().into(),
    };
    let servers = ApiServers::bind(&config.internal_api, &config.external_api, config.uploads)?
        .with_console(&config.dashboard_api, console)?;
    ensure_free(config)?;
    let metrics = metrics::listen(&config.metrics)?;
    let lock = DataDirLock::make(&config.data_dir)?;
    data_dir_format::note(&config.data_dir)?;
    let keys = keys(config).await?;
    // What it awaits is large; callers need not hold all of it.
    let starting = Node::start(lock, config, &keys, servers, metrics, log_filter, plugins);
    let mut node = Box::pin(starting).await?;
    node.keep_data_dir();
    Ok(node)
}

/// The network layer takes its ports late, when files are written already.
fn ensure_free(config: &NodeConfig) -> anyhow::Result<()> {
    let network = &config.network;
    if !network.listen {
        return Ok(());
    }
    for host in std::iter::once(network.host).chain(network.more_hosts.iter().copied()) {
        let address = SocketAddr::new(host, config.p2p_port);
        TcpListener::bind(address).with_context(|| {
            format!(
                "cannot listen on {address} for peers: TCP port {} cannot be taken",
                address.port()
            )
        })?;
        // A private network has no QUIC.
        if network.swarm_key_file.is_none() {
            UdpSocket::bind(address).with_context(|| {
                format!(
                    "cannot listen on {address} for peers: UDP port {} (QUIC) cannot be taken",
                    address.port()
                )
            })?;
        }
    }
    Ok(())
}
