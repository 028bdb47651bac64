//! Follows what other instances make of the keys that all of them have in common.

use std::{sync::Arc, time::Duration};

use dm_core::{ports::KeyValueStore, tasks::Supervisor};
use dm_keys::{KEY_FILE, KeyError, NodeKeys};
use dm_storage::{CatalogSecrets, SqliteCatalog};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use crate::background::supervise;

/// Between two looks at the keys.
const PAUSE: Duration = Duration::from_secs(1);

/// Looks after the keys of the node, as they are in its catalog, in the background.
pub(crate) fn follow(catalog: &SqliteCatalog, keys: &NodeKeys, supervisor: &Supervisor) {
    let shared = SharedKeys {
        files: catalog.namespace(CatalogSecrets::NAMESPACE),
        keys: keys.clone(),
    };
    supervise(
        supervisor,
        "shared keys",
        &shared,
        |shared, shutdown| async move { shared.run(shutdown).await },
    );
}

#[derive(Clone)]
struct SharedKeys {
    files: Arc<dyn KeyValueStore>,
    keys: NodeKeys,
}

impl SharedKeys {
    async fn run(self, shutdown: CancellationToken) -> Result<(), JoinError> {
        let mut known = None;
        while shutdown
            .run_until_cancelled(tokio::time::sleep(PAUSE))
            .await
            .is_some()
        {
            // A catalog that is away says so itself.
            let Ok(found) = self.files.get(KEY_FILE.as_bytes()).await else {
                continue;
            };
            if found == known {
                continue;
            }
            let keys = self.keys.clone();
            match tokio::task::spawn_blocking(move || keys.manager().refresh()).await? {
                Ok(()) => known = found,
                Err(error) => {
                    tracing::warn!(%error, "the keys that another instance has changed are not taken over");
                    if let KeyError::Replaced(_) = error {
                        known = found;
                    }
                }
            }
        }
        Ok(())
    }
}
