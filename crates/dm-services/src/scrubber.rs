//! Reads everything that is stored at a limited rate, finds what is damaged,
//! and brings it back from the network.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use dm_core::{
    Address,
    bus::EventBus,
    clock::now_ms,
    damage::DamageLog,
    envelope::{Chunk, ObjectId, SignedEnvelope},
    hash::Locator,
    news::{News, SystemTrouble},
    ports::{ObjectExchange, ObjectStore, StorageQuota, StoreError, StoreUsage},
};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::ServiceError;

mod mending;

/// Objects that are listed at once.
const PAGE: usize = 256;
/// Pause behind each object, if there is time for it: looking an object up costs the same
/// however small it is, so the bytes alone do not limit the load of many small ones.
const OBJECT_PAUSE: Duration = Duration::from_millis(40);
/// Before a chunk is asked for again of a store that cannot be used at the moment.
const AWAY_PAUSE: Duration = Duration::from_secs(30);
/// Before the first round, so that a start is not slowed down.
const FIRST_PAUSE: Duration = Duration::from_secs(60);

/// How the store is scrubbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScrubConfig {
    /// Bytes of chunks that are read in a second.
    pub bytes_per_second: u64,
    /// Between two rounds.
    pub interval: Duration,
}

/// What a round through the store found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ScrubReport {
    /// When it ended, in milliseconds since the Unix epoch.
    pub ended_at: u64,
    /// Objects that were read.
    pub objects: u64,
    /// Bytes of their chunks.
    pub bytes: u64,
    /// Objects with chunks that could not be read.
    pub damaged: u64,
    /// Those of them that were brought back from the network.
    pub repaired: u64,
    /// By how many bytes the store counts more than was found; `None` where
    /// objects came or went meanwhile, so that this cannot be told.
    pub drift: Option<i128>,
}

/// What a scrubber works with.
#[derive(Clone)]
pub struct ScrubPorts {
    /// The store that is scrubbed.
    pub objects: Arc<dyn ObjectStore>,
    /// What its readers could not read.
    pub damage: DamageLog,
    /// How much of its limits it has used.
    pub quota: Arc<dyn StorageQuota>,
    /// Where damaged objects are brought back from.
    pub network: Arc<dyn ObjectExchange>,
    /// Is told of damage and drift.
    pub bus: EventBus,
}

/// How a store is: what is in it, what it may hold, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StorageStatus {
    /// Objects that are stored.
    pub objects: u64,
    /// Bytes that count for this node's own objects.
    pub own_bytes: u64,
    /// Most of them.
    pub max_own_bytes: u64,
    /// Bytes that count for the objects of others.
    pub foreign_bytes: u64,
    /// Most of them.
    pub max_foreign_bytes: u64,
    /// Objects that are known to be damaged now.
    pub damaged: u64,
    /// What the last round through the store found; `None` before the first
    /// since the start.
    pub last_scrub: Option<ScrubReport>,
}

/// Scrubs an object store; cheap to clone.
#[derive(Clone)]
pub struct Scrubber {
    ports: ScrubPorts,
    config: ScrubConfig,
    last: Arc<Mutex<Option<ScrubReport>>>,
}

/// What looking at an object came to.
enum Outcome {
    Whole {
        bytes: u64,
    },
    Repaired {
        bytes: u64,
    },
    Damaged {
        bytes: u64,
    },
    /// Not even its envelope can be read.
    Unknown,
    /// It is not stored.
    Gone,
}

impl Outcome {
    fn is_damaged(&self) -> bool {
        !matches!(self, Self::Whole { .. } | Self::Gone)
    }

    fn is_repaired(&self) -> bool {
        matches!(self, Self::Repaired { .. })
    }
}

impl Scrubber {
    /// A scrubber of this store; it works while [`Scrubber::run`] does.
    pub fn new(ports: ScrubPorts, config: ScrubConfig) -> Self {
        Self {
            ports,
            config,
            last: Arc::default(),
        }
    }

    /// How the store is.
    ///
    /// # Errors
    /// Where the store cannot tell what is in it.
    pub async fn status(&self) -> Result<StorageStatus, ServiceError> {
        let (kept, limits) = (self.ports.quota.kept(), self.ports.quota.limits());
        Ok(StorageStatus {
            objects: self.ports.objects.usage().await?.objects,
            own_bytes: kept.own,
            max_own_bytes: limits.own,
            foreign_bytes: kept.foreign,
            max_foreign_bytes: limits.foreign,
            damaged: self.ports.damage.all().len() as u64,
            last_scrub: self.last(),
        })
    }

    /// What the last round found.
    pub fn last(&self) -> Option<ScrubReport> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Goes through the store again and again until `shutdown`, and brings
    /// back what others find to be damaged meanwhile.
    ///
    /// # Errors
    /// Where the store cannot be listed.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), StoreError> {
        let work = async { tokio::try_join!(self.go_round(), self.mend_found()).map(drop) };
        shutdown.run_until_cancelled(work).await.unwrap_or(Ok(()))
    }

    async fn go_round(&self) -> Result<(), StoreError> {
        tokio::time::sleep(FIRST_PAUSE.min(self.config.interval)).await;
        loop {
            self.round().await?;
            tokio::time::sleep(self.config.interval).await;
        }
    }

    /// Reads everything once, from a random place to the end and then from the beginning:
    /// restarts that break rounds off leave no part of the store unread for long.
    ///
    /// # Errors
    /// Where the store cannot be listed.
    pub async fn round(&self) -> Result<ScrubReport, StoreError> {
        let before = self.ports.objects.usage().await?;
        let mut report = ScrubReport::default();
        let pause = object_pause(before.objects, self.config.interval);
        let place = random_place();
        self.scrub_between(Some(place), None, pause, &mut report).await?;
        self.scrub_between(None, Some(place), pause, &mut report).await?;
        report.ended_at = now_ms();
        report.drift = drift(before, self.ports.objects.usage().await?, &report);
        self.tell(&report);
        Ok(report)
    }

    fn tell(&self, report: &ScrubReport) {
        let (damaged, repaired) = (report.damaged, report.repaired);
        if damaged > repaired {
            tracing::error!(damaged, repaired, "stored objects are damaged");
        }
        let drift = report.drift.unwrap_or(0);
        if drift != 0 {
            tracing::warn!(drift, "the object store does not hold what it counts");
        }
        if damaged > 0 || drift != 0 {
            self.ports.bus.publish(News::SystemError(SystemTrouble::Storage {
                locator: None,
                owner: None,
                damaged,
                repaired,
                drift: report.drift,
            }));
        }
        tracing::info!(
            objects = report.objects,
            bytes = report.bytes,
            damaged,
            repaired,
            "read everything that is stored"
        );
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(report.clone());
    }

    /// Reads the objects after `after` up to `until`, with this pause behind each.
    async fn scrub_between(
        &self,
        mut after: Option<ObjectId>,
        until: Option<ObjectId>,
        pause: Duration,
        report: &mut ScrubReport,
    ) -> Result<(), StoreError> {
        loop {
            let page = self.ports.objects.list(after.as_ref(), PAGE).await?;
            if page.is_empty() {
                return Ok(());
            }
            for id in page {
                if until.is_some_and(|until| id > until) {
                    return Ok(());
                }
                self.scrub(&id, report).await;
                tokio::time::sleep(pause).await;
                after = Some(id);
            }
        }
    }

    async fn scrub(&self, id: &ObjectId, report: &mut ScrubReport) {
        let outcome = self.look_at(id).await;
        report.damaged += u64::from(outcome.is_damaged());
        report.repaired += u64::from(outcome.is_repaired());
        match outcome {
            Outcome::Whole { bytes } | Outcome::Repaired { bytes } | Outcome::Damaged { bytes } => {
                report.objects += 1;
                report.bytes += bytes;
            }
            Outcome::Gone | Outcome::Unknown => {}
        }
    }

    /// Reads an object, and brings it back where it is damaged.
    async fn look_at(&self, id: &ObjectId) -> Outcome {
        let envelope = match self.ports.objects.envelope(id).await {
            Ok(Some(envelope)) => envelope,
            // Removed since it was listed.
            Ok(None) => return Outcome::Gone,
            Err(error) => {
                tracing::error!(locator = %id.locator, %error, "the record of an object cannot be read");
                return Outcome::Unknown;
            }
        };
        let error = match self.read(&envelope).await {
            Ok(bytes) => {
                self.ports.damage.mended(id);
                return Outcome::Whole { bytes };
            }
            Err(error) => error,
        };
        tracing::warn!(locator = %id.locator, owner = %id.owner, %error, "a stored object is damaged");
        // What stands there is counted by the store all the same.
        let bytes = envelope.sealed_size();
        match self.bring_back(&envelope).await {
            Ok(()) => Outcome::Repaired { bytes },
            Err(error) => {
                tracing::error!(locator = %id.locator, owner = %id.owner, %error, "a damaged object was not brought back");
                Outcome::Damaged { bytes }
            }
        }
    }

    /// Reads all chunks, which the store checks against their names.
    async fn read(&self, envelope: &SignedEnvelope) -> Result<u64, StoreError> {
        let mut bytes = 0;
        for index in 0..envelope.chunk_count() {
            let len = match self.chunk(&envelope.id, index).await {
                Ok(chunk) => chunk.bytes().len() as u64,
                // It was removed or replaced meanwhile, and is not damaged.
                Err(StoreError::Missing) if !self.is_stored(envelope).await => envelope.chunk_len(index),
                Err(error) => return Err(error),
            };
            bytes += len;
            let nanos = len.saturating_mul(1_000_000_000) / self.config.bytes_per_second.max(1);
            tokio::time::sleep(Duration::from_nanos(nanos)).await;
        }
        Ok(bytes)
    }

    /// A chunk from the medium. Of one that is away nothing can be said: the round waits.
    async fn chunk(&self, id: &ObjectId, index: u64) -> Result<Chunk, StoreError> {
        loop {
            match self.ports.objects.chunk_from_medium(id, index).await {
                Err(StoreError::Unavailable(_)) => tokio::time::sleep(AWAY_PAUSE).await,
                read => return read,
            }
        }
    }

    async fn is_stored(&self, envelope: &SignedEnvelope) -> bool {
        let stored = self.ports.objects.envelope(&envelope.id).await;
        matches!(stored, Ok(Some(stored)) if stored.chunk_list == envelope.chunk_list)
    }
}

/// The pause behind an object; shorter where a round would take more than half of the
/// interval for the pauses.
fn object_pause(objects: u64, interval: Duration) -> Duration {
    let objects = u32::try_from(objects).unwrap_or(u32::MAX).max(1);
    OBJECT_PAUSE.min(interval / 2 / objects)
}

/// A place in the order of the objects.
fn random_place() -> ObjectId {
    ObjectId {
        locator: Locator::from_bytes(rand::random()),
        owner: Address::ZERO,
    }
}

/// What the store counts beyond what was found, where nothing has changed.
fn drift(before: StoreUsage, after: StoreUsage, report: &ScrubReport) -> Option<i128> {
    let unchanged = before == after && before.objects == report.objects;
    unchanged.then(|| i128::from(after.bytes) - i128::from(report.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_ends_within_the_interval_however_many_objects_there_are() {
        let week = Duration::from_secs(7 * 24 * 60 * 60);
        assert_eq!(object_pause(0, week), OBJECT_PAUSE);
        assert_eq!(object_pause(1_000_000, week), OBJECT_PAUSE);
        for objects in [10_u64.pow(7), 10_u64.pow(8)] {
            let whole = object_pause(objects, week) * objects as u32;
            assert!(whole <= week / 2 && whole >= week / 4, "{whole:?}");
        }
    }
}
