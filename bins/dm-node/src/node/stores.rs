//! The stores: objects, the catalog, and what of the objects belongs to a share.

use std::sync::Arc;

use dm_core::{
    Address,
    config::{NodeConfig, ObjectEngine},
    instance::InstanceId,
    ports::{KeptLimits, KeyValueStore, ObjectStore},
};
use dm_services::{KnownObjects, SharedTurns};
use dm_storage::{SqliteCatalog, Storage};

use crate::{catalog, instance};

/// Everything that is kept.
pub(super) struct Stores {
    pub(super) storage: Storage,
    pub(super) catalog: Arc<SqliteCatalog>,
    /// The name of this process.
    pub(super) instance: InstanceId,
    /// What belongs to a share: peers, repair and backups see nothing else.
    pub(super) known: Arc<dyn ObjectStore>,
    /// Whether the catalog is in a database, which keeps the namespaces as well.
    is_in_database: bool,
}

impl Stores {
    pub(super) async fn open(config: &NodeConfig, address: Address) -> anyhow::Result<Self> {
        if config.storage.engine == ObjectEngine::Sled {
            tracing::warn!("storage.engine is sled, which may lose acknowledged data when the power goes");
        }
        // First: it refuses the database of another account.
        let catalog = catalog::open_for_node(config, address).await?;
        let (instance, catalog) = match config.catalog_url {
            Some(_) => instance::begin(config, catalog).await?,
            None => (InstanceId::random(), catalog),
        };
        let catalog = Arc::new(catalog);
        let storage = open_storage(config, address).await?;
        let known = KnownObjects::new(storage.objects(), catalog.clone(), address);
        Ok(Self {
            storage,
            catalog,
            instance,
            known: Arc::new(known),
            is_in_database: config.catalog_url.is_some(),
        })
    }

    /// The turns that its instances keep to, where the node may have several.
    pub(super) fn turns(&self) -> Option<SharedTurns> {
        let turns = || {
            let store = self.namespace("turns");
            SharedTurns::new(self.instance, self.catalog.clone(), store)
        };
        self.is_in_database.then(turns)
    }

    /// What the node keeps under this name for all its instances. What describes the objects
    /// or the chain of this data directory is in a namespace of [`Stores::storage`].
    pub(super) fn namespace(&self, name: &str) -> Arc<dyn KeyValueStore> {
        match self.is_in_database {
            true => self.catalog.namespace(name),
            false => self.storage.namespace(name),
        }
    }
}

/// Opens the object store where the settings say that its index is.
async fn open_storage(config: &NodeConfig, address: Address) -> anyhow::Result<Storage> {
    let (dir, storage) = (config.objects_dir(), config.storage.clone());
    let limits = kept_limits(config, address);
    #[cfg(feature = "postgres")]
    if let Some(database) = catalog::database(config).await? {
        let open = move || Storage::open_shared(&dir, &storage, limits, &database);
        return Ok(tokio::task::spawn_blocking(open).await??);
    }
    let open = move || Storage::open_within(&dir, &storage, limits);
    Ok(tokio::task::spawn_blocking(open).await??)
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
