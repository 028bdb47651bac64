//! Watches the parts of the node and says how it is.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use dm_core::{
    bus::EventBus,
    clock::now_ms,
    health::{Finding, HealthComponents, HealthLevel, HealthReport, PartHealth, Trouble},
    news::{ComponentChange, News},
    plugin::PluginState,
    ports::{Chain, ComplianceLog, HealthCheck, NetworkStatus},
    tasks::Supervisor,
};
use futures::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::PluginManager;

/// Between two looks at the chain.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// How long the chain may take to answer.
const CHAIN_PATIENCE: Duration = Duration::from_secs(3);
/// How long a part may take to say how it is.
const CHECK_PATIENCE: Duration = Duration::from_secs(3);

/// The part that judges the chain. Without the chain the node serves on, and anchors
/// and pays later: it makes the whole degraded, not unhealthy.
const CHAIN_PART: &str = "chain";

/// What the monitor watches.
pub struct HealthPorts {
    /// Whether it can be reached is asked at every look.
    pub chain: Arc<dyn Chain>,
    /// The peers.
    pub network: Arc<dyn NetworkStatus>,
    /// The compliance log.
    pub log: Arc<dyn ComplianceLog>,
    /// Those that fail make the node degraded.
    pub plugins: Option<PluginManager>,
    /// The parts that judge themselves.
    pub checks: Vec<Arc<dyn HealthCheck>>,
    /// Who wants to know.
    pub bus: EventBus,
}

/// Answers for the node's health without asking anybody: what takes time is
/// looked at in the background.
pub struct HealthMonitor {
    ports: HealthPorts,
    supervisor: Supervisor,
    chain_connected: AtomicBool,
    parts: Mutex<BTreeMap<&'static str, PartHealth>>,
}

impl HealthMonitor {
    /// Looks at everything once and goes on looking in a supervised task.
    pub async fn start(ports: HealthPorts, supervisor: &Supervisor) -> Arc<Self> {
        let monitor = Arc::new(Self {
            ports,
            supervisor: supervisor.clone(),
            chain_connected: AtomicBool::new(false),
            parts: Mutex::default(),
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
            let bus = &self.ports.bus;
            bus.publish(News::HealthUpdate(Box::new(self.report())));
            bus.publish(News::NetworkStatsUpdate(self.ports.network.stats()));
        }
        Ok(())
    }

    async fn look(&self) {
        let (has_head, ()) = tokio::join!(self.look_at_chain(), self.check_parts());
        self.note_chain(has_head && self.chain_works());
    }

    async fn look_at_chain(&self) -> bool {
        let answer = tokio::time::timeout(CHAIN_PATIENCE, self.ports.chain.head()).await;
        matches!(answer, Ok(Ok(_)))
    }

    /// Whether the chain answers to what the node needs, as far as its part knows.
    fn chain_works(&self) -> bool {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let part = parts.get(CHAIN_PART);
        part.is_none_or(|part| part.status != HealthLevel::Unhealthy)
    }

    fn note_chain(&self, connected: bool) {
        if self.chain_connected.swap(connected, Ordering::Relaxed) != connected {
            tracing::info!(connected, "the chain's reachability changed");
            self.ports
                .bus
                .publish(News::HealthComponentChange(ComponentChange {
                    component: "blockchain".to_owned(),
                    connected: Some(connected),
                    health: None,
                }));
        }
    }

    async fn check_parts(&self) {
        let checks = self.ports.checks.iter().map(|check| async move {
            let finding = tokio::time::timeout(CHECK_PATIENCE, check.check()).await;
            (check.part(), finding.unwrap_or_else(|_| silent()))
        });
        for (part, finding) in join_all(checks).await {
            self.note(part, finding);
        }
    }

    fn note(&self, part: &'static str, finding: Finding) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let before = parts.get(part);
        let health = PartHealth::after(finding, before, now_ms());
        let level_before = before.map_or(HealthLevel::Healthy, |before| before.status);
        if level_before != health.status {
            tracing::warn!(part, status = ?health.status, reason = health.reason, "a part's health changed");
            self.ports
                .bus
                .publish(News::HealthComponentChange(ComponentChange {
                    component: part.to_owned(),
                    connected: None,
                    health: Some(health.clone()),
                }));
        }
        parts.insert(part, health);
    }

    /// How the node is, as of the last look.
    pub fn report(&self) -> HealthReport {
        let connected = self.chain_connected.load(Ordering::Relaxed);
        let running = self.ports.network.is_running();
        let fault = self.ports.log.fault();
        let mut tasks = self.supervisor.statuses();
        tasks.retain(|_, status| !status.running || status.failures > 0);
        let plugins = self
            .ports
            .plugins
            .as_ref()
            .map(PluginManager::statuses)
            .unwrap_or_default();
        let plugins_run = plugins
            .iter()
            .all(|plugin| matches!(plugin.state, PluginState::Running | PluginState::Disabled));
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let worst_part = parts
            .iter()
            .map(|(name, part)| match *name {
                CHAIN_PART => part.status.min(HealthLevel::Degraded),
                _ => part.status,
            })
            .max()
            .unwrap_or(HealthLevel::Healthy);
        let whole = if fault.is_some() {
            HealthLevel::Unhealthy
        } else if connected && running && plugins_run && tasks.values().all(|task| task.running) {
            HealthLevel::Healthy
        } else {
            HealthLevel::Degraded
        };
        HealthReport {
            status: whole.max(worst_part),
            components: HealthComponents {
                blockchain: if connected { "connected" } else { "disconnected" },
                p2p_network: if running { "running" } else { "stopped" },
                encryption: "initialized",
                compliance: fault.unwrap_or_else(|| "ok".to_owned()),
            },
            parts,
            tasks,
            plugins: plugins
                .into_iter()
                .map(|plugin| (plugin.name, plugin.state))
                .collect(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

fn silent() -> Finding {
    let reason = format!("it did not say within {} s how it is", CHECK_PATIENCE.as_secs());
    Finding::Degraded(Trouble::new(
        reason,
        "look at the log and at the load of the machine",
    ))
}
