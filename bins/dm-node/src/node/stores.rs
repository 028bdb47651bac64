//! The stores: objects, the catalog, and what of the objects belongs to a share.

use std::sync::Arc;

use anyhow::ensure;
use dm_core::{
    Address,
    config::{NodeConfig, ObjectEngine},
    instance::InstanceId,
    ports::{KeptLimits, KeyValueStore, ObjectStore},
};
use dm_services::{KnownObjects, SharedTurns};
use dm_storage::{SqliteCatalog, Storage};

use crate::{catalog, instance, namespaces::Namespace, storage};

/// Everything that is kept.
pub(super) struct Stores {
    pub(super) storage: Storage,
    pub(super) catalog: Arc<SqliteCatalog>,
    /// The name of this process.
    pub(super) instance: InstanceId,
    /// What belongs to a share: peers, repair and backups see nothing else.
    pub(super) known: Arc<dyn ObjectStore>,
}

impl Stores {
    pub(super) async fn open(config: &NodeConfig, address: Address) -> anyhow::Result<Self> {
        if config.storage.engine == ObjectEngine::Sled {
            tracing::warn!("storage.engine is sled, which may lose acknowledged data when the power goes");
        }
        if config.catalog_url.is_none() && !config.catalog_file().exists() {
            refuse_objects_without_catalog(config, address).await?;
        }
        // Before the objects: it refuses the database of another account.
        let catalog = catalog::open_for_node(config, address).await?;
        let (instance, catalog) = match config.catalog_url {
            Some(_) => instance::begin(config, catalog).await?,
            None => (InstanceId::random(), catalog),
        };
        let catalog = Arc::new(catalog);
        let storage = storage::open(config, kept_limits(config, address)).await?;
        let known = KnownObjects::new(storage.objects(), catalog.clone(), address);
        Ok(Self {
            storage,
            catalog,
            instance,
            known: Arc::new(known),
        })
    }

    /// The turns that its instances keep to, where the node may have several.
    pub(super) fn turns(&self, config: &NodeConfig) -> Option<SharedTurns> {
        let turns = || {
            let (store, name) = (self.namespace(config, Namespace::Turns), Namespace::Turns.name());
            SharedTurns::new(self.instance, self.catalog.clone(), store, name)
        };
        config.catalog_url.is_some().then(turns)
    }

    /// What a part of the node keeps, where the settings say that it is.
    pub(super) fn namespace(&self, config: &NodeConfig, namespace: Namespace) -> Arc<dyn KeyValueStore> {
        namespace.open(config, &self.storage, &self.catalog)
    }
}

/// A catalog that is gone is not replaced by an empty one: the node would know none of its shares, and
/// take its objects for leftovers.
async fn refuse_objects_without_catalog(config: &NodeConfig, account: Address) -> anyhow::Result<()> {
    let folder = config.objects_dir();
    if !folder.exists() {
        return Ok(());
    }
    let storage = storage::open(config, kept_limits(config, account)).await?;
    let objects = storage.meter().objects();
    storage.close().await?;
    ensure!(
        objects == 0,
        "the catalog {} is missing, and {} has {objects} objects: put the catalog back, or restore a backup \
         into an empty directory (docs/recovery.md); move the objects away to begin without any of it",
        config.catalog_file().display(),
        folder.display(),
    );
    Ok(())
}

/// How much is kept; nothing by a node that only introduces others.
fn kept_limits(config: &NodeConfig, account: Address) -> KeptLimits {
    let (own, foreign) = if config.network.bootstrap_only {
        (0, 0)
    } else {
        (config.storage.max_own_bytes, config.network.max_foreign_bytes)
    };
    KeptLimits {
        account,
        own,
        foreign,
    }
}
