//! A node's compliance log on a simulated chain.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(unreachable_pub, reason = "a module of several test files")]
#![allow(clippy::unwrap_used, reason = "only tests and benchmarks use it")]

pub mod chain;
pub mod events;

use std::sync::Arc;

use dm_compliance::ComplianceManager;
use dm_core::{
    bus::EventBus, config::ComplianceConfig, ports::ComplianceLog, receipt::Anchor, span::Tracer,
    tasks::Supervisor,
};
use dm_testing::{
    compliance::conformance::share,
    waiting::{PATIENCE, eventually_within},
};

use self::{
    chain::{ACCOUNT, Endpoint, SimulatedChain},
    events::MemoryEvents,
};

/// One life of a node: from start to stop, or to being killed.
pub struct Life {
    pub manager: Arc<ComplianceManager>,
    pub endpoint: Endpoint,
    pub bus: EventBus,
    pub supervisor: Supervisor,
}

impl Life {
    /// A node with the defaults.
    pub async fn start(events: &MemoryEvents, chain: &SimulatedChain) -> Self {
        Self::start_with(events, chain, ComplianceConfig::default()).await
    }

    pub async fn start_with(events: &MemoryEvents, chain: &SimulatedChain, config: ComplianceConfig) -> Self {
        Self::start_on(events, chain, config, Supervisor::new()).await
    }

    pub async fn start_on(
        events: &MemoryEvents,
        chain: &SimulatedChain,
        config: ComplianceConfig,
        supervisor: Supervisor,
    ) -> Self {
        Self::start_told(events, chain, config, supervisor, Tracer::default()).await
    }

    /// A node with the defaults whose spans are told to `tracer`.
    pub async fn start_traced(events: &MemoryEvents, chain: &SimulatedChain, tracer: &Tracer) -> Self {
        let config = ComplianceConfig::default();
        Self::start_told(events, chain, config, Supervisor::new(), tracer.clone()).await
    }

    async fn start_told(
        events: &MemoryEvents,
        chain: &SimulatedChain,
        config: ComplianceConfig,
        supervisor: Supervisor,
        tracer: Tracer,
    ) -> Self {
        let (endpoint, bus) = (chain.endpoint(), EventBus::new());
        let manager = ComplianceManager::start(
            ACCOUNT,
            Arc::new(events.clone()),
            Arc::new(endpoint.clone()),
            config,
            bus.clone(),
            tracer,
            &supervisor,
        );
        Self {
            manager: manager.await.unwrap(),
            endpoint,
            bus,
            supervisor,
        }
    }

    /// Records share number `n`, and returns its position.
    pub async fn record(&self, n: u8) -> u64 {
        self.manager.record(share(n)).await.unwrap().index
    }

    /// The anchor of an event, though the chain may be known to be away still.
    pub async fn anchor_of(&self, index: u64) -> Anchor {
        eventually_within(2 * PATIENCE, "the event is anchored", async || {
            self.manager.wait_for_anchor(index, PATIENCE).await.unwrap()
        })
        .await
    }

    /// Whether the receipt of an event exists and is valid.
    pub async fn has_valid_receipt(&self, index: u64) -> bool {
        match self.manager.receipt(index).await.unwrap() {
            Some(receipt) => self.manager.verify(&receipt).await.unwrap().is_valid(),
            None => false,
        }
    }

    /// Ends at once: what was asked of the chain is never answered.
    pub fn kill(&self) {
        self.endpoint.freeze();
    }
}
