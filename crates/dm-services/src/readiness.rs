//! Whether clients should be sent to this instance.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use dm_core::health::HealthLevel;

use crate::{HealthMonitor, Membership};

/// The parts without which no share is taken. Without its chain and its peers a node takes
/// shares, and anchors and distributes them later.
const NEEDED: [&str; 2] = ["catalog", "object_store"];

/// Says whether this instance can take shares.
pub struct Readiness {
    health: Arc<HealthMonitor>,
    membership: Membership,
    is_draining: AtomicBool,
}

impl Readiness {
    /// By what these know.
    pub fn new(health: Arc<HealthMonitor>, membership: Membership) -> Self {
        Self {
            health,
            membership,
            is_draining: AtomicBool::new(false),
        }
    }

    /// Whether its stores can be written, as of the last look, and it goes on running.
    pub fn is_ready(&self) -> bool {
        let parts = self.health.report().parts;
        let works = |part| {
            parts
                .get(part)
                .is_none_or(|found| found.status != HealthLevel::Unhealthy)
        };
        !self.is_draining.load(Ordering::Relaxed)
            && !self.membership.is_refused()
            && NEEDED.into_iter().all(works)
    }

    /// This instance is about to stop: it is not ready any more.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }
}
