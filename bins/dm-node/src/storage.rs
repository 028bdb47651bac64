//! Opens the object store where the settings say that its index and its bodies are.

use dm_core::{config::NodeConfig, ports::KeptLimits};
use dm_storage::Storage;

#[cfg(feature = "postgres")]
use crate::catalog;

/// Opens the object store, which keeps no more than `limits`.
///
/// # Errors
/// Where it cannot be opened, or is not where the data directory has it.
pub(crate) async fn open(config: &NodeConfig, limits: KeptLimits) -> anyhow::Result<Storage> {
    let (dir, storage) = (config.objects_dir(), config.storage.clone());
    #[cfg(feature = "postgres")]
    if let Some(database) = catalog::database(config).await? {
        let open = move || Storage::open_shared(&dir, &storage, limits, &database);
        return Ok(tokio::task::spawn_blocking(open).await??);
    }
    let open = move || Storage::open_within(&dir, &storage, limits);
    Ok(tokio::task::spawn_blocking(open).await??)
}
