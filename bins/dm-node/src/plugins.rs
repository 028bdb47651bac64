//! Gives the plugins of a node their place in it.

use std::sync::Arc;

use async_trait::async_trait;
use dm_core::{
    Address,
    bus::EventBus,
    config::NodeConfig,
    hash::DataHash,
    plugin::PluginFault,
    ports::{EventJournal, KeyValueStore, NodeFunctions, PluginSource},
    tasks::Supervisor,
};
use dm_plugins::{PluginFolder, PluginFolderConfig};
use dm_services::{DataManager, HealthMonitor, PluginConfig, PluginManager, RegisteredPlugins};
use serde_json::json;

/// The manager of the plugins, which do not run yet.
pub(crate) async fn open(
    config: &NodeConfig,
    address: Address,
    store: Arc<dyn KeyValueStore>,
    journal: Arc<dyn EventJournal>,
    bus: EventBus,
) -> anyhow::Result<PluginManager> {
    let settings = PluginConfig {
        node_id: config.node_id.clone(),
        address,
        required: config.plugins.required.clone(),
        examine_received: config.plugins.examine_received,
    };
    Ok(PluginManager::open(settings, store, journal, bus).await?)
}

/// Starts the plugins of the folder, and those that are part of the program.
pub(crate) async fn start(
    manager: &PluginManager,
    config: &NodeConfig,
    registered: RegisteredPlugins,
    functions: Functions,
    supervisor: &Supervisor,
) -> anyhow::Result<()> {
    let folder_config = PluginFolderConfig::new(config.plugins_dir(), &config.plugins)?;
    let folder = PluginFolder::new(folder_config, Arc::new(functions))?;
    let sources: Vec<Arc<dyn PluginSource>> = vec![Arc::new(registered), Arc::new(folder)];
    manager.start(sources, supervisor).await;
    if config.catalog_url.is_some() {
        manager.follow_others(supervisor);
    }
    Ok(())
}

/// What plugins may ask of the node.
pub(crate) struct Functions {
    pub(crate) health: Arc<HealthMonitor>,
    pub(crate) data: DataManager,
}

#[async_trait]
impl NodeFunctions for Functions {
    async fn health(&self) -> Result<String, PluginFault> {
        serde_json::to_string(&self.health.report()).map_err(PluginFault::new)
    }

    async fn verify(&self, data_hash: &str) -> Result<String, PluginFault> {
        let hash: DataHash = data_hash
            .parse()
            .map_err(|reason| PluginFault::new(format!("the data hash {reason}")))?;
        let found = self.data.verify(&hash).await.map_err(PluginFault::new)?;
        let anchor = found.anchor.as_ref();
        let answer = json!({
            "hash": hash,
            "verified": found.verified,
            "reason": found.reason,
            "tx_hash": anchor.map(|anchor| anchor.tx_hash),
            "block": anchor.map(|anchor| anchor.block),
            "anchored_at": anchor.map(|anchor| anchor.timestamp),
        });
        Ok(answer.to_string())
    }
}
