//! Watches the parts of the node and says how it is.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    bus::{EventBus, Topic},
    health::{HealthComponents, HealthLevel, HealthReport},
    plugin::PluginState,
    ports::{Chain, ComplianceLog, Network},
    services::PluginManager,
    tasks::Supervisor,
};

/// Between two looks at the chain.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// How long the chain may take to answer.
const CHAIN_PATIENCE: Duration = Duration::from_secs(3);

/// Answers for the node's health without asking anybody: what takes time is
/// looked at in the background.
pub struct HealthMonitor {
    chain: Arc<dyn Chain>,
    network: Arc<dyn Network>,
    log: Arc<dyn ComplianceLog>,
    plugins: Option<PluginManager>,
    supervisor: Supervisor,
    bus: EventBus,
    chain_connected: AtomicBool,
}

impl HealthMonitor {
    /// Looks at everything once and goes on looking in a supervised task.
    pub async fn start(
        chain: Arc<dyn Chain>,
        network: Arc<dyn Network>,
        log: Arc<dyn ComplianceLog>,
        plugins: Option<PluginManager>,
        bus: EventBus,
        supervisor: &Supervisor,
    ) -> Arc<Self> {
        let monitor = Arc::new(Self {
            chain,
            network,
            log,
            plugins,
            supervisor: supervisor.clone(),
            bus,
            chain_connected: AtomicBool::new(false),
        });
        monitor.look().await;
        let watching = monitor.clone();
        supervisor.spawn("health", move |shutdown| watching.clone().watch(shutdown));
        monitor
    }

    async fn watch(self: Arc<Self>, shutdown: CancellationToken) -> Result<(), Infallible> {
        let mut ticks = tokio::time::interval(LOOK_INTERVAL);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            self.look().await;
            let report = self.report();
            self.bus.publish(Topic::HealthUpdate, json!(report));
        }
        Ok(())
    }

    async fn look(&self) {
        let answer = tokio::time::timeout(CHAIN_PATIENCE, self.chain.head()).await;
        let connected = matches!(answer, Ok(Ok(_)));
        if self.chain_connected.swap(connected, Ordering::Relaxed) != connected {
            tracing::info!(connected, "the chain's reachability changed");
            self.bus.publish(
                Topic::HealthComponentChange,
                json!({"component": "blockchain", "connected": connected}),
            );
        }
    }

    /// How the node is, as of the last look.
    pub fn report(&self) -> HealthReport {
        let connected = self.chain_connected.load(Ordering::Relaxed);
        let running = self.network.is_running();
        let fault = self.log.fault();
        let mut tasks = self.supervisor.statuses();
        tasks.retain(|_, status| !status.running || status.failures > 0);
        let plugins = self
            .plugins
            .as_ref()
            .map(PluginManager::statuses)
            .unwrap_or_default();
        let plugins_run = plugins
            .iter()
            .all(|plugin| matches!(plugin.state, PluginState::Running | PluginState::Disabled));
        let status = if fault.is_some() {
            HealthLevel::Unhealthy
        } else if connected && running && plugins_run && tasks.values().all(|task| task.running) {
            HealthLevel::Healthy
        } else {
            HealthLevel::Degraded
        };
        HealthReport {
            status,
            components: HealthComponents {
                blockchain: if connected { "connected" } else { "disconnected" },
                p2p_network: if running { "running" } else { "stopped" },
                encryption: "initialized",
                compliance: fault.unwrap_or_else(|| "ok".to_owned()),
            },
            tasks,
            plugins: plugins
                .into_iter()
                .map(|plugin| (plugin.name, plugin.state))
                .collect(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}
