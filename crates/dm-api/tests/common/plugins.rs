//! The plugins of a node under test.

use std::sync::Arc;

use dm_core::{Address, bus::EventBus, ports::Plugin, tasks::Supervisor};
use dm_services::{PluginConfig, PluginManager, RegisteredPlugins};
use dm_testing::{catalog::MemoryCatalog, key_value::MemoryKeyValueStore};

/// Starts plugins that hear of this journal and this bus.
pub async fn start(
    plugins: Vec<Arc<dyn Plugin>>,
    address: Address,
    journal: Arc<MemoryCatalog>,
    bus: EventBus,
) -> PluginManager {
    let settings = PluginConfig {
        node_id: "test".to_owned(),
        address,
        required: Vec::new(),
        examine_received: false,
    };
    let store = Arc::new(MemoryKeyValueStore::new());
    let manager = PluginManager::open(settings, store, journal, bus).await.unwrap();
    let source = Arc::new(RegisteredPlugins::from_iter(plugins));
    manager.start(vec![source], &Supervisor::new()).await;
    manager
}
