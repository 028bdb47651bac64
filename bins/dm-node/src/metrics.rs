//! The metrics of the node: asks its parts what they have counted, when somebody reads
//! them, and looks from time to time at what cannot be told at once.

mod samples;
mod sources;

use std::sync::Arc;

use dm_api::ApiMeters;
use dm_chain::EvmClient;
use dm_compliance::ComplianceManager;
use dm_core::{
    config::MetricsConfig,
    ports::{KeptLimits, KeyRing, NetworkStatus},
    tasks::Supervisor,
};
use dm_metrics::{Listener, Page, ProcessSource, Server, Source};
use dm_services::{HealthMonitor, KeyGuard, Membership, PluginManager, Repairer, Subscriptions};
use dm_storage::{SqliteCatalog, StorageMeter};
use dm_traces::Exporter;

use self::samples::Samples;
use crate::background::supervise;

/// The parts that are asked.
#[derive(Clone)]
pub(crate) struct Metered {
    pub(crate) api: ApiMeters,
    pub(crate) key_guard: Arc<KeyGuard>,
    pub(crate) storage: StorageMeter,
    pub(crate) limits: KeptLimits,
    pub(crate) catalog: Arc<SqliteCatalog>,
    pub(crate) log: Arc<ComplianceManager>,
    pub(crate) chain: Arc<EvmClient>,
    pub(crate) repairer: Repairer,
    pub(crate) network: Arc<dyn NetworkStatus>,
    pub(crate) subscriptions: Subscriptions,
    /// Where traces are sent at all.
    pub(crate) exporter: Option<Exporter>,
    pub(crate) membership: Membership,
    pub(crate) key_ring: Arc<dyn KeyRing>,
    pub(crate) plugins: PluginManager,
    pub(crate) health: Arc<HealthMonitor>,
}

/// Takes the port, where metrics are served at all.
///
/// # Errors
/// Where the setting is no address; never where the port is taken.
pub(crate) fn listen(config: &MetricsConfig) -> anyhow::Result<Option<Listener>> {
    Ok(config.address()?.map(Listener::bind))
}

/// Serves the metrics of these parts.
pub(crate) fn start(listener: Listener, metered: Metered, supervisor: &Supervisor) {
    let samples = Samples::new(metered.clone());
    supervise(
        supervisor,
        "metrics samples",
        &samples,
        |samples, shutdown| async move { samples.run(shutdown).await },
    );
    let mut sources: Vec<Box<dyn Source>> = sources::of(metered, samples);
    sources.push(Box::new(ProcessSource::new(env!("CARGO_PKG_VERSION"))));
    let server = Server::new(listener, Page::new(sources));
    supervise(supervisor, "metrics", &server, |server, shutdown| async move {
        server.run(shutdown).await
    });
}
