//! How the node was, a sample a minute, for those who look at it later.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use dm_core::{clock::now_ms, health::HealthLevel, ports::NetworkStatus};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::{HealthMonitor, Scrubber, ServiceError};

/// Between two samples.
const INTERVAL: Duration = Duration::from_secs(60);
/// Samples that are kept: those of a day.
const KEPT: usize = 24 * 60;

/// How the node was at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrendSample {
    /// Milliseconds since the Unix epoch.
    pub at: u64,
    /// The whole of its health.
    pub health: HealthLevel,
    /// Peers that were connected.
    pub peers: u64,
    /// Bytes sent since the start.
    pub sent: u64,
    /// Bytes received since the start.
    pub received: u64,
    /// Objects that were stored.
    pub objects: u64,
    /// Bytes that counted for this node's own objects.
    pub own_bytes: u64,
    /// Bytes that counted for the objects of others.
    pub foreign_bytes: u64,
}

/// Who is asked.
pub struct TrendPorts {
    /// The node's health.
    pub health: Arc<HealthMonitor>,
    /// Its peers and its traffic.
    pub network: Arc<dyn NetworkStatus>,
    /// What it stores.
    pub storage: Scrubber,
}

/// The samples of the last day, since the start at most; cheap to clone.
#[derive(Clone)]
pub struct Trend {
    ports: Arc<TrendPorts>,
    samples: Arc<Mutex<VecDeque<TrendSample>>>,
}

impl Trend {
    /// One without samples; it takes them while [`Trend::run`] does.
    pub fn new(ports: TrendPorts) -> Self {
        Self {
            ports: Arc::new(ports),
            samples: Arc::default(),
        }
    }

    /// Takes samples until the node stops.
    ///
    /// # Errors
    /// None.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Infallible> {
        let mut ticks = tokio::time::interval(INTERVAL);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            if let Err(error) = self.take_sample().await {
                tracing::debug!(%error, "a minute of the trend is left out");
            }
        }
        Ok(())
    }

    /// Oldest first.
    pub fn samples(&self) -> Vec<TrendSample> {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples.iter().cloned().collect()
    }

    async fn take_sample(&self) -> Result<(), ServiceError> {
        let kept = self.ports.storage.status().await?;
        let stats = self.ports.network.stats();
        let sample = TrendSample {
            at: now_ms(),
            health: self.ports.health.report().status,
            peers: stats.active_peers,
            sent: stats.data_sent,
            received: stats.data_received,
            objects: kept.objects,
            own_bytes: kept.own_bytes,
            foreign_bytes: kept.foreign_bytes,
        };
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.len() == KEPT {
            samples.pop_front();
        }
        samples.push_back(sample);
        Ok(())
    }
}
