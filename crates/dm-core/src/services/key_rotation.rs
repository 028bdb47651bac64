//! Replaces the node's data key by newer versions, and wraps the content keys
//! again under the newest.

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{ServiceError, cpu::Cpu};
use crate::{
    clock::now_ms,
    event::{EventKind, NewEvent},
    ports::{ComplianceLog, KeyRing, KeyRingError, ReadableObjects, Rewrapped},
    share::ReadableObject,
};

/// Content keys that are wrapped again together.
const PAGE: usize = 256;
/// After each page the work rests as many times as long as the page took, so
/// that others find the catalog idle most of the time.
const REST: u32 = 2;
/// Pause between two looks for work.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// What the rotation works with.
#[derive(Clone)]
pub struct KeyRotationPorts {
    /// The node's own keys.
    pub key_ring: Arc<dyn KeyRing>,
    /// The wrapped content keys.
    pub readable: Arc<dyn ReadableObjects>,
    /// Takes note of each rotation.
    pub log: Arc<dyn ComplianceLog>,
}

/// Rotates the data key; cheap to clone.
#[derive(Clone)]
pub struct KeyRotation {
    ports: KeyRotationPorts,
    /// Age at which the newest version is replaced; `None` for never.
    max_age: Option<Duration>,
    cpu: Cpu,
    rotated: Arc<Notify>,
}

impl KeyRotation {
    /// A rotation over these ports; its background work is [`KeyRotation::run`].
    pub fn new(ports: KeyRotationPorts, max_age: Option<Duration>) -> Self {
        Self {
            ports,
            max_age,
            cpu: Cpu::new(),
            rotated: Arc::default(),
        }
    }

    /// Makes a new version of the data key, which wraps everything from now on, and
    /// returns its number. The content keys follow in the background.
    ///
    /// # Errors
    /// [`ServiceError::Fault`] where the version cannot be kept or recorded.
    pub async fn rotate(&self) -> Result<u32, ServiceError> {
        let key_ring = self.ports.key_ring.clone();
        let rotated = tokio::task::spawn_blocking(move || key_ring.rotate()).await;
        let version =
            rotated.unwrap_or_else(|_| Err(KeyRingError::Failed("the write was cut off".to_owned())))?;
        self.rotated.notify_one();
        self.ports.log.record(new_version(version)).await?;
        tracing::info!(version, "a new version of the data key is in use");
        Ok(version)
    }

    /// Wraps content keys again under the newest version, and rotates when that is old
    /// enough; runs until `shutdown`. What is done is durable page by page. An
    /// error ends it, and whoever supervises it starts it again.
    ///
    /// # Errors
    /// Faults of the catalog and of the keys.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), ServiceError> {
        let work = async {
            loop {
                if self.is_due() {
                    self.rotate().await?;
                }
                self.wrap_all_again().await?;
                // That nobody rang is no failure.
                let _ = tokio::time::timeout(LOOK_AGAIN_AFTER, self.rotated.notified()).await;
            }
        };
        shutdown.run_until_cancelled(work).await.unwrap_or(Ok(()))
    }

    fn is_due(&self) -> bool {
        let (Some(max_age), Some(newest)) = (self.max_age, self.ports.key_ring.versions().last().copied())
        else {
            return false;
        };
        u128::from(now_ms().saturating_sub(newest.created_at)) >= max_age.as_millis()
    }

    /// Wraps every content key that an older version wraps under the newest.
    ///
    /// # Errors
    /// Faults of the catalog and of the keys; keys that cannot be unwrapped are left as
    /// they are.
    pub async fn wrap_all_again(&self) -> Result<(), ServiceError> {
        let mut after = None;
        let mut done = 0;
        loop {
            let started = tokio::time::Instant::now();
            let Some(newest) = self.ports.key_ring.versions().last().copied() else {
                return Ok(());
            };
            let outdated = self
                .ports
                .readable
                .wrapped_before(newest.version, after, PAGE)
                .await?;
            let Some(last) = outdated.last() else {
                break;
            };
            after = Some(last.data_hash);
            let rewrapped = self.wrap_again(outdated).await?;
            done += rewrapped.len();
            self.ports.readable.rewrap(rewrapped).await?;
            tokio::time::sleep(started.elapsed() * REST).await;
        }
        if done > 0 {
            tracing::info!(done, "content keys are wrapped under the newest version");
        }
        Ok(())
    }

    async fn wrap_again(&self, objects: Vec<ReadableObject>) -> Result<Vec<Rewrapped>, ServiceError> {
        let key_ring = self.ports.key_ring.clone();
        let work = move || {
            let again = |object: ReadableObject| match key_ring.unwrap(&object.key) {
                Ok(key) => Some(Rewrapped {
                    data_hash: object.data_hash,
                    old: object.key,
                    new: key_ring.wrap(&key),
                }),
                Err(error) => {
                    tracing::warn!(locator = %object.id.locator, %error, "a content key cannot be wrapped again");
                    None
                }
            };
            objects.into_iter().filter_map(again).collect()
        };
        self.cpu.run(work).await
    }
}

fn new_version(version: u32) -> NewEvent {
    let details = [("key", "data_key".to_owned()), ("version", version.to_string())];
    NewEvent {
        kind: EventKind::KeyRotation,
        data_hash: None,
        recipient: None,
        details: details.map(|(name, value)| (name.to_owned(), value)).into(),
        mandate: None,
    }
}
