//! Reads everything that is stored at a limited rate, finds what is damaged,
//! and brings it back from the network.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{StreamExt, TryStreamExt};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::ServiceError;
use crate::{
    clock::now_ms,
    envelope::{ObjectId, SignedEnvelope},
    ports::{Found, Network, ObjectStore, Resumed, StoreError, StoreUsage},
    trace::Trace,
};

/// Objects that are listed at once.
const PAGE: usize = 256;
/// Before the first round, so that a start is not slowed down.
const FIRST_PAUSE: Duration = Duration::from_secs(60);

/// How the store is scrubbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScrubSettings {
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

/// Scrubs an object store; cheap to clone.
#[derive(Clone)]
pub struct Scrubber {
    objects: Arc<dyn ObjectStore>,
    network: Arc<dyn Network>,
    settings: ScrubSettings,
    last: Arc<Mutex<Option<ScrubReport>>>,
}

impl Scrubber {
    /// A scrubber of this store; it works while [`Scrubber::run`] does.
    pub fn new(objects: Arc<dyn ObjectStore>, network: Arc<dyn Network>, settings: ScrubSettings) -> Self {
        Self {
            objects,
            network,
            settings,
            last: Arc::default(),
        }
    }

    /// What the last round found.
    pub fn last(&self) -> Option<ScrubReport> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Goes through the store again and again until `shutdown`.
    ///
    /// # Errors
    /// Where the store cannot be listed.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), StoreError> {
        let rounds = async {
            tokio::time::sleep(FIRST_PAUSE.min(self.settings.interval)).await;
            loop {
                self.round().await?;
                tokio::time::sleep(self.settings.interval).await;
            }
        };
        shutdown.run_until_cancelled(rounds).await.unwrap_or(Ok(()))
    }

    /// Reads everything once.
    ///
    /// # Errors
    /// Where the store cannot be listed.
    pub async fn round(&self) -> Result<ScrubReport, StoreError> {
        let before = self.objects.usage().await?;
        let mut report = ScrubReport::default();
        let mut after = None;
        loop {
            let page = self.objects.list(after.as_ref(), PAGE).await?;
            let Some(last) = page.last().copied() else {
                break;
            };
            for id in &page {
                self.scrub(id, &mut report).await;
            }
            after = Some(last);
        }
        report.ended_at = now_ms();
        report.drift = drift(before, self.objects.usage().await?, &report);
        self.tell(&report);
        Ok(report)
    }

    fn tell(&self, report: &ScrubReport) {
        let (damaged, repaired) = (report.damaged, report.repaired);
        if damaged > repaired {
            tracing::error!(damaged, repaired, "stored objects are damaged");
        }
        if let Some(drift) = report.drift.filter(|drift| *drift != 0) {
            tracing::warn!(drift, "the object store does not hold what it counts");
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

    async fn scrub(&self, id: &ObjectId, report: &mut ScrubReport) {
        let envelope = match self.objects.envelope(id).await {
            Ok(Some(envelope)) => envelope,
            // Removed since it was listed.
            Ok(None) => return,
            Err(error) => {
                report.damaged += 1;
                tracing::error!(locator = %id.locator, %error, "the record of an object cannot be read");
                return;
            }
        };
        report.objects += 1;
        match self.read(&envelope).await {
            Ok(bytes) => report.bytes += bytes,
            Err(error) => {
                // What stands there is counted by the store all the same.
                report.bytes += envelope.sealed_size();
                report.damaged += 1;
                tracing::warn!(locator = %id.locator, owner = %id.owner, %error, "a stored object is damaged");
                match self.bring_back(&envelope).await {
                    Ok(()) => report.repaired += 1,
                    Err(error) => {
                        tracing::error!(locator = %id.locator, owner = %id.owner, %error, "a damaged object was not brought back");
                    }
                }
            }
        }
    }

    /// Reads all chunks, which the store checks against their names.
    async fn read(&self, envelope: &SignedEnvelope) -> Result<u64, StoreError> {
        let mut bytes = 0;
        for index in 0..envelope.chunk_count() {
            let chunk = self.objects.chunk(&envelope.id, index).await;
            let len = match chunk {
                Ok(chunk) => chunk.bytes().len() as u64,
                // It was removed or replaced meanwhile, and is not damaged.
                Err(StoreError::Missing) if !self.is_stored(envelope).await => envelope.chunk_len(index),
                Err(error) => return Err(error),
            };
            bytes += len;
            let nanos = len.saturating_mul(1_000_000_000) / self.settings.bytes_per_second.max(1);
            tokio::time::sleep(Duration::from_nanos(nanos)).await;
        }
        Ok(bytes)
    }

    async fn is_stored(&self, envelope: &SignedEnvelope) -> bool {
        let stored = self.objects.envelope(&envelope.id).await;
        matches!(stored, Ok(Some(stored)) if stored.chunk_list == envelope.chunk_list)
    }

    /// Fetches an object whose chunks are damaged here, and stores it anew.
    async fn bring_back(&self, envelope: &SignedEnvelope) -> Result<(), ServiceError> {
        let found = self.find_copy(envelope).await?.ok_or(ServiceError::NotFound)?;
        let Resumed { mut kept, mut writer } = self.objects.resume(envelope).await?;
        let mut first = 0;
        while let Some(chunk) = kept.next().await {
            writer.append(chunk).await?;
            first += 1;
        }
        let mut chunks = self.network.fetch(&found, first, &Trace::default());
        while let Some(chunk) = chunks.try_next().await? {
            writer.append(chunk).await?;
        }
        // The peers may have a newer envelope over the same chunks.
        let newest = if found.envelope.sequence > envelope.sequence {
            &found.envelope
        } else {
            envelope
        };
        Ok(writer.restore(newest).await?)
    }

    /// Who has the same chunks; the peers that are known to are asked first.
    async fn find_copy(&self, envelope: &SignedEnvelope) -> Result<Option<Found>, ServiceError> {
        let (locator, trace) = (&envelope.id.locator, Trace::default());
        let same_chunks = |found: &Found| {
            found.envelope.id == envelope.id && found.envelope.chunk_list == envelope.chunk_list
        };
        let known = self.network.find_at_known(locator, &trace).await?;
        if let Some(found) = known.into_iter().find(same_chunks) {
            return Ok(Some(found));
        }
        let found = self.network.find(locator, &trace).await?;
        Ok(found.into_iter().find(same_chunks))
    }
}

/// What the store counts beyond what was found, where nothing has changed.
fn drift(before: StoreUsage, after: StoreUsage, report: &ScrubReport) -> Option<i128> {
    let unchanged = before == after && before.objects == report.objects;
    unchanged.then(|| i128::from(after.bytes) - i128::from(report.bytes))
}
