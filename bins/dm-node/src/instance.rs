//! This process as one instance of its node, where the catalog is in a database.

use std::{fs, path::Path, time::Duration};

use anyhow::bail;
use dm_core::{config::NodeConfig, instance::InstanceId, ports::Leases};
use dm_services::LeadershipConfig;
use dm_storage::SqliteCatalog;

use crate::{
    catalog::{PROCESS_FILE, process_file},
    data_dir::replace_file,
};

/// Between two looks of a process that waits at whether the other one has ended.
const TURN_INTERVAL: Duration = Duration::from_secs(1);

/// Begins a run of the node: its id, and the catalog as it may write to it. Where another process
/// runs the node, and this one may take over, that is when the other one has ended.
///
/// # Errors
/// Where another process runs the node with objects of its own, or the database fails.
pub(crate) async fn begin(
    config: &NodeConfig,
    catalog: SqliteCatalog,
) -> anyhow::Result<(InstanceId, SqliteCatalog)> {
    give_back_lease_of_earlier_run(config, &catalog).await?;
    let own = InstanceId::random();
    remember(config, own)?;
    let catalog = as_only_instance(config, catalog, own).await?;
    Ok((own, catalog))
}

/// The leader's queues and plans are in the memory of their process, and without a bucket its objects
/// are on its disk. So one process runs the node, and one that was replaced changes nothing any more.
/// Where another one runs it and both have the same objects, this one waits for its end.
async fn as_only_instance(
    config: &NodeConfig,
    catalog: SqliteCatalog,
    own: InstanceId,
) -> anyhow::Result<SqliteCatalog> {
    let lasts = LeadershipConfig::default().lasts;
    let mut waits = false;
    while catalog.take_lease(own, lasts).await?.is_none() {
        if config.storage.objects_url.is_none() {
            bail!(
                "another process of this node uses the database: stop it, or wait for {} s after it has ended",
                lasts.as_secs()
            );
        }
        if !waits {
            tracing::info!(
                "another process runs this node: this one waits, and takes over when that one ends"
            );
            waits = true;
        }
        tokio::time::sleep(TURN_INTERVAL).await;
    }
    Ok(catalog.while_last_leader(own))
}

/// An earlier process on this data directory has ended, since it had the lock of the directory:
/// nobody has to wait for the end of its lease.
async fn give_back_lease_of_earlier_run(config: &NodeConfig, catalog: &SqliteCatalog) -> anyhow::Result<()> {
    let earlier = remembered(&process_file(config));
    if let Some(lease) = catalog.lease().await?
        && Some(lease.instance) == earlier
    {
        catalog.give_back_lease(lease.epoch).await?;
    }
    Ok(())
}

fn remembered(file: &Path) -> Option<InstanceId> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// Notes which instance runs on the data directory.
///
/// # Errors
/// Where the file cannot be written.
pub(crate) fn remember(config: &NodeConfig, instance: InstanceId) -> anyhow::Result<()> {
    replace_file(&config.data_dir, PROCESS_FILE, &format!("{instance}\n"))
}
