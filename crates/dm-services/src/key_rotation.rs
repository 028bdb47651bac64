//! Replaces the node's keys: the key-encryption key by newer versions, under which the content
//! keys are wrapped again; the key that others make grants for; the master password.

use std::{sync::Arc, time::Duration};

use dm_core::{
    clock::now_ms,
    ports::{
        BegunKeyChange, ComplianceLog, GrantKeyInfo, Grants, KeyChange, KeyChangeDetails, KeyChanges,
        KeyRing, KeyRingError, KeyUses, MasterPassword, PasswordError, ReadableObjects, Rewrapped,
    },
    secret::SecretString,
    share::ReadableObject,
};
use tokio_util::sync::CancellationToken;

use super::{
    Bell, ServiceError,
    cpu::Cpu,
    key_journal::{KeyJournal, details},
    run_to_completion,
    turns::{OwnKeys, SharedTurns, Turn, Turns},
};

mod retirement;

pub use retirement::{KeyVersionUse, destroy_key_version, key_versions};

/// Content keys that are wrapped again together.
const PAGE: usize = 256;
/// After each page the work rests as many times as long as the page took, so
/// that others find the catalog idle most of the time.
const REST: u32 = 4;
/// And no longer than this, so that the end comes in sight on a busy machine, too.
const LONGEST_REST: Duration = Duration::from_millis(80);
/// Pause between two looks for work.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// What the rotation works with.
#[derive(Clone)]
pub struct KeyRotationPorts {
    /// The node's own keys.
    pub key_ring: Arc<dyn KeyRing>,
    /// The wrapped content keys.
    pub readable: Arc<dyn ReadableObjects>,
    /// Which versions they need.
    pub uses: Arc<dyn KeyUses>,
    /// The key that others make grants for.
    pub grants: Arc<dyn Grants>,
    /// What protects them all on the disk.
    pub password: Arc<dyn MasterPassword>,
    /// Remembers changes that were begun.
    pub changes: Arc<dyn KeyChanges>,
    /// Takes note of each change.
    pub log: Arc<dyn ComplianceLog>,
}

/// What happens to keys by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyRotationConfig {
    /// Age at which the newest version of the key-encryption key is replaced; `None` for never.
    pub max_age: Option<Duration>,
    /// Whether versions that nothing needs any more are destroyed. Imported ones are not:
    /// what the older node has wrapped with them is unknown here.
    pub destroy_retired: bool,
}

/// Replaces the node's keys; cheap to clone.
#[derive(Clone)]
pub struct KeyRotation {
    ports: KeyRotationPorts,
    config: KeyRotationConfig,
    journal: KeyJournal,
    /// Held by the one change at a time, whichever instance makes it.
    turns: Arc<Turns<OwnKeys>>,
    cpu: Cpu,
    rotated: Bell,
}

impl KeyRotation {
    /// A rotation over these ports; its background work is [`KeyRotation::run`].
    pub fn new(ports: KeyRotationPorts, config: KeyRotationConfig) -> Self {
        Self::with_turns(ports, config, None)
    }

    /// The same where other instances of the node may change its keys.
    pub fn among_instances(ports: KeyRotationPorts, config: KeyRotationConfig, turns: SharedTurns) -> Self {
        Self::with_turns(ports, config, Some(turns))
    }

    fn with_turns(ports: KeyRotationPorts, config: KeyRotationConfig, turns: Option<SharedTurns>) -> Self {
        Self {
            journal: KeyJournal::new(ports.changes.clone(), ports.log.clone()),
            ports,
            config,
            turns: Arc::new(Turns::new(turns)),
            cpu: Cpu::new(),
            rotated: Bell::default(),
        }
    }

    /// Rings when there is a new version of the key-encryption key.
    pub fn bell(&self) -> Bell {
        self.rotated.clone()
    }

    /// Makes a new version of the key-encryption key, which wraps everything from now on, and
    /// returns its number. The content keys follow in the background.
    ///
    /// # Errors
    /// [`ServiceError::Fault`] where the version cannot be kept.
    pub async fn rotate(&self) -> Result<u32, ServiceError> {
        let rotation = self.clone();
        run_to_completion(async move {
            let turn = rotation.turn().await?;
            let key_ring = rotation.ports.key_ring.clone();
            let newest = key_ring.versions().last().map_or(0, |newest| newest.version);
            let rotating = blocking(move || key_ring.rotate());
            let noting = rotation.note(KeyChange::KeyEncryptionKey { newest }, rotating);
            let version = turn.work(noting).await?;
            rotation.rotated.ring();
            tracing::info!(version, "a new version of the key-encryption key is in use");
            Ok(version)
        })
        .await
    }

    /// Makes a new key pair for grants, and returns its public key. Grants for those before
    /// still open; whoever announces the node's address record does it anew.
    ///
    /// # Errors
    /// [`ServiceError::Fault`] where it cannot be kept.
    pub async fn rotate_grant_key(&self) -> Result<[u8; 32], ServiceError> {
        let rotation = self.clone();
        run_to_completion(async move {
            let turn = rotation.turn().await?;
            let grants = rotation.ports.grants.clone();
            let newest = grants.keys().last().map(|key| hex::encode(key.public_key));
            let change = KeyChange::GrantKey {
                newest: newest.unwrap_or_default(),
            };
            let rotating = blocking(move || grants.rotate());
            let public_key = turn.work(rotation.note(change, rotating)).await?;
            tracing::info!("a new key for grants is in use");
            Ok(public_key)
        })
        .await
    }

    /// The key pairs whose grants open, oldest first.
    pub fn grant_keys(&self) -> Vec<GrantKeyInfo> {
        self.ports.grants.keys()
    }

    /// Changes the master password: all secret files are encrypted anew under it.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] where the old one is wrong or the new one cannot be used,
    /// [`ServiceError::Fault`] where the files cannot be written; then nothing has changed.
    pub async fn change_password(&self, old: SecretString, new: SecretString) -> Result<(), ServiceError> {
        let rotation = self.clone();
        run_to_completion(async move {
            let turn = rotation.turn().await?;
            let password = rotation.ports.password.clone();
            let change = KeyChange::MasterPassword {
                generation: password.generation(),
            };
            let changing = async move {
                let changed = tokio::task::spawn_blocking(move || password.change(&old, &new)).await;
                changed.unwrap_or_else(|_| Err(PasswordError::Failed("the write was cut off".to_owned())))
            };
            turn.work(rotation.note(change, changing)).await?;
            tracing::info!("the master password was changed");
            Ok(())
        })
        .await
    }

    /// Waits for whoever changes keys now, and takes over what was changed.
    async fn turn(&self) -> Result<Turn, ServiceError> {
        let turn = self.turns.lock(OwnKeys).await?;
        let key_ring = self.ports.key_ring.clone();
        blocking(move || key_ring.refresh()).await?;
        Ok(turn)
    }

    /// Makes a change and records its event, whose place is durable before the change is
    /// made. Callers hold the turn. What was made is made also where the log does not take
    /// the event at once: it follows.
    async fn note<T, E: Into<ServiceError>>(
        &self,
        change: KeyChange,
        making: impl Future<Output = Result<T, E>>,
    ) -> Result<T, ServiceError> {
        let begun = self.journal.begin(change).await?;
        let made = making.await;
        if let Err(error) = self.settle(&begun).await {
            tracing::warn!(%error, "the event of a change of keys is recorded later");
        }
        made.map_err(Into::into)
    }

    async fn settle(&self, begun: &BegunKeyChange) -> Result<(), ServiceError> {
        let made = self.made(&begun.change);
        Ok(self.journal.settle(begun, made).await?)
    }

    /// Settles what a stop has interrupted, and what the log did not take.
    async fn settle_all(&self) -> Result<(), ServiceError> {
        if self.journal.begun().await?.is_empty() {
            return Ok(());
        }
        let turn = self.turn().await?;
        let settling = async {
            for begun in self.journal.begun().await? {
                // The change of the operator account has a service of its own.
                if !matches!(begun.change, KeyChange::Operator { .. }) {
                    self.settle(&begun).await?;
                }
            }
            Ok(())
        };
        turn.work(settling).await
    }

    /// What the event of a change says, where the keys show that it was made.
    fn made(&self, change: &KeyChange) -> Option<KeyChangeDetails> {
        let versions = || {
            self.ports
                .key_ring
                .versions()
                .into_iter()
                .map(|held| held.version)
        };
        match change {
            KeyChange::KeyEncryptionKey { newest } => {
                let made = versions().find(|version| version > newest)?;
                Some(details("data_key", [("version", made.to_string())]))
            }
            KeyChange::KeyEncryptionKeyEnd { version } => (!versions().any(|held| held == *version))
                .then(|| details("data_key", [("destroyed", version.to_string())])),
            KeyChange::GrantKey { newest } => {
                let keys = self.ports.grants.keys();
                let mut names = keys.iter().map(|key| hex::encode(key.public_key));
                if !newest.is_empty() {
                    names.find(|name| name == newest)?;
                }
                Some(details("grant_key", [("public_key", names.next()?)]))
            }
            KeyChange::MasterPassword { generation } => {
                (self.ports.password.generation() != *generation).then(|| details("master_password", []))
            }
            KeyChange::Operator { .. } => None,
        }
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
                self.settle_all().await?;
                if self.is_due() {
                    self.rotate().await?;
                }
                self.wrap_all_again().await?;
                if self.config.destroy_retired {
                    self.destroy_retired().await?;
                }
                self.rotated.wait(LOOK_AGAIN_AFTER).await;
            }
        };
        shutdown.run_until_cancelled(work).await.unwrap_or(Ok(()))
    }

    fn is_due(&self) -> bool {
        let (Some(max_age), Some(newest)) = (
            self.config.max_age,
            self.ports.key_ring.versions().last().copied(),
        ) else {
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
            tokio::time::sleep((started.elapsed() * REST).min(LONGEST_REST)).await;
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

/// Changes keys away from the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, KeyRingError> + Send + 'static,
) -> Result<T, KeyRingError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(KeyRingError::Failed("the write was cut off".to_owned())))
}
