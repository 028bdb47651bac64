//! This process as one instance of its node, where the catalog is in a database.

use std::{fs, path::Path};

use anyhow::bail;
use dm_core::{
    config::NodeConfig,
    instance::{Instance, InstanceId, SeenInstance},
    ports::{Instances, Leases},
};
use dm_services::LeadershipConfig;
use dm_storage::SqliteCatalog;

use crate::{
    catalog::{PROCESS_FILE, process_file},
    data_dir::replace_file,
    migration::mark,
};

/// Begins a run of the node: its id, and the catalog as it may write to it.
///
/// # Errors
/// Where another process runs the node with objects or a chain of its own, or the database fails.
pub(crate) async fn begin(
    config: &NodeConfig,
    catalog: SqliteCatalog,
) -> anyhow::Result<(InstanceId, SqliteCatalog)> {
    end_earlier_run(config, &catalog).await?;
    let own = InstanceId::random();
    remember(config, own)?;
    // Others know it before it takes a turn at anything, and a move does not begin from here on.
    catalog.note_instance(&described(config, own)).await?;
    // It may have been moved meanwhile.
    mark::refuse_in(&catalog).await?;
    let catalog = match has_everything_in_common(config) {
        true => catalog,
        false => as_only_instance(catalog, own).await?,
    };
    Ok((own, catalog))
}

/// Ends the term of whoever led before, so that nobody who is not stopped changes the catalog.
///
/// # Errors
/// Where another process runs the node, or the database fails.
pub(crate) async fn end_others(config: &NodeConfig, catalog: &SqliteCatalog) -> anyhow::Result<()> {
    end_earlier_run(config, catalog).await?;
    let own = InstanceId::random();
    remember(config, own)?;
    lead_alone(catalog, own).await?;
    let is_there = |seen: &SeenInstance| seen.instance.id != own && !seen.is_gone();
    match catalog.instances().await?.iter().find(|seen| is_there(seen)) {
        Some(other) => bail!(
            "the instance {} of this node runs: stop it, or wait for {} s after it has ended",
            other.instance.name,
            SeenInstance::GONE_AFTER_MS / 1000
        ),
        None => Ok(()),
    }
}

/// Whether instances with these settings have the same objects and the same chain.
fn has_everything_in_common(config: &NodeConfig) -> bool {
    config.storage.objects_url.is_some() && !config.uses_devnet()
}

/// What an instance says of itself before it has joined the network.
pub(crate) fn described(config: &NodeConfig, id: InstanceId) -> Instance {
    Instance {
        id,
        name: config.node_id.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        peer_id: None,
        addresses: Vec::new(),
    }
}

/// Another process would lack what is in the data directory of this one: its objects, or its
/// embedded chain. So one process runs the node, and one that was replaced changes nothing any more.
async fn as_only_instance(catalog: SqliteCatalog, own: InstanceId) -> anyhow::Result<SqliteCatalog> {
    lead_alone(&catalog, own).await?;
    Ok(catalog.while_last_leader(own))
}

async fn lead_alone(catalog: &SqliteCatalog, own: InstanceId) -> anyhow::Result<()> {
    let lasts = LeadershipConfig::default().lasts;
    if catalog.take_lease(own, lasts).await?.is_none() {
        bail!(
            "another process of this node uses the database: stop it, or wait for {} s after it has ended",
            lasts.as_secs()
        );
    }
    Ok(())
}

/// An earlier process on this data directory has ended, since it had the lock of the directory:
/// nobody has to wait for the end of its lease, or of its turns.
async fn end_earlier_run(config: &NodeConfig, catalog: &SqliteCatalog) -> anyhow::Result<()> {
    let Some(earlier) = remembered(&process_file(config)) else {
        return Ok(());
    };
    if let Some(lease) = catalog.lease().await?
        && lease.instance == earlier
    {
        catalog.give_back_lease(lease.epoch).await?;
    }
    catalog.remove_instance(earlier).await?;
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
