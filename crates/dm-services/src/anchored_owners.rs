//! Tells which owners have anchored a log: each anchor has cost them gas, while
//! keys cost nothing.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use alloy_primitives::Address;
use async_trait::async_trait;
use dm_core::ports::{Anchors, OwnerStanding};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

/// How long the chain may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Questions to the chain at the same time; who finds none free gets no for an answer.
const MAX_QUESTIONS: usize = 8;
/// An anchor stays; this only lets go of owners who have not come again.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);
/// An owner without an anchor may have one soon.
const NOT_ANCHORED: Duration = Duration::from_secs(60);
/// Owners that are remembered.
const MAX_OWNERS: usize = 16 * 1024;

/// Asks the anchor contract, and remembers what it said.
pub struct AnchoredOwners {
    anchors: Arc<dyn Anchors>,
    known: Mutex<HashMap<Address, Known>>,
    questions: Semaphore,
}

#[derive(Clone, Copy)]
struct Known {
    is_anchored: bool,
    until: Instant,
}

impl AnchoredOwners {
    /// Asks these.
    pub fn new(anchors: Arc<dyn Anchors>) -> Self {
        Self {
            anchors,
            known: Mutex::default(),
            questions: Semaphore::new(MAX_QUESTIONS),
        }
    }

    /// What the chain says; `None` where it does not in time.
    async fn ask(&self, owner: Address) -> Option<bool> {
        let _question = self.questions.try_acquire().ok()?;
        let head = timeout(PATIENCE, self.anchors.anchor_head(owner)).await.ok()?;
        Some(head.ok()?.is_some())
    }

    fn remember(&self, owner: Address, is_anchored: bool) {
        let now = Instant::now();
        let for_how_long = if is_anchored { REMEMBERED } else { NOT_ANCHORED };
        let mut known = self.lock();
        if known.len() >= MAX_OWNERS {
            known.retain(|_, known| now < known.until && known.is_anchored);
        }
        if known.len() < MAX_OWNERS {
            let until = now + for_how_long;
            known.insert(owner, Known { is_anchored, until });
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Address, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl OwnerStanding for AnchoredOwners {
    async fn is_established(&self, owner: Address) -> bool {
        let known = self.lock().get(&owner).copied();
        if let Some(known) = known.filter(|known| Instant::now() < known.until) {
            return known.is_anchored;
        }
        match self.ask(owner).await {
            Some(is_anchored) => {
                self.remember(owner, is_anchored);
                is_anchored
            }
            // What it said last still holds if it was yes: anchors do not go away.
            None => known.is_some_and(|known| known.is_anchored),
        }
    }
}
