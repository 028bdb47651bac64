//! Tells the recipients of objects whose owners are gone: a replica knows the readers from the
//! grants.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use alloy_primitives::Address;
use dm_core::{
    clock::now_ms,
    envelope::SignedEnvelope,
    letter::Letter,
    ports::{KeyValueStore, NetworkError, NoticeNetwork, ObjectStore, OwnerStanding, Signer, StoreError},
};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;

use super::{ALONE, notice_of};
use crate::{
    ServiceError,
    object_queue::{DueObject, ObjectQueue},
    pauses::Attempts,
};

/// Objects that are taken from the queue at a time.
const ROUND: usize = 64;
/// Objects whose recipients are told at the same time. It is few: nobody waits for an answer.
const AT_ONCE: usize = 2;
/// Readers of one object that are told.
const MAX_READERS: usize = 64;
/// First and longest pause where a notice reached nobody, in milliseconds.
const PAUSES: (u64, u64) = (30_000, 3_600_000);
/// Times that an owner without an anchored log is looked at again: its first anchor may be on
/// its way.
const MAX_LOOKS: u32 = 6;

/// What notices of replicas stand on.
#[derive(Clone)]
pub struct ReplicaNoticePorts {
    /// Brings them to recipients, and knows which owners are there.
    pub network: Arc<dyn NoticeNetwork>,
    /// Where the envelopes are.
    pub objects: Arc<dyn ObjectStore>,
    /// A namespace of its own: the objects whose owners are still to be looked for.
    pub queue: Arc<dyn KeyValueStore>,
    /// Whose recipients are told; without it those of all owners are.
    pub standing: Option<Arc<dyn OwnerStanding>>,
    /// The node account.
    pub signer: Arc<dyn Signer>,
}

/// What is known of an owner now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OwnerState {
    /// It tells its recipients itself.
    There,
    Gone,
    /// It is neither a contact nor has it anchored a log yet.
    Stranger,
}

/// Tells recipients in the place of owners that are gone; cheap to clone.
#[derive(Clone)]
pub struct ReplicaNotices {
    inner: Arc<Inner>,
}

struct Inner {
    ports: ReplicaNoticePorts,
    own: Address,
    patience: Duration,
    queue: Mutex<ObjectQueue>,
    /// Rings when an object has come.
    bell: Notify,
}

impl ReplicaNotices {
    /// An owner has `patience` to tell its recipients itself. Nothing is sent before
    /// [`ReplicaNotices::run`].
    pub fn new(ports: ReplicaNoticePorts, patience: Duration) -> Self {
        Self {
            inner: Arc::new(Inner {
                own: ports.signer.address(),
                queue: Mutex::new(ObjectQueue::new(ports.queue.clone())),
                bell: Notify::new(),
                patience,
                ports,
            }),
        }
    }

    /// When it is to be seen whether the owner of an object that is stored here is there, if
    /// anybody is to be told of it at all.
    pub(crate) fn due_of(&self, envelope: &SignedEnvelope) -> Option<DueObject> {
        let (inner, now) = (&self.inner, now_ms());
        let since = envelope.created_at.min(now);
        let is_to_be_told = envelope.id.owner != inner.own
            && !envelope.is_gone(now)
            && now < Attempts::none(since).end()
            && inner.readers(envelope).next().is_some();
        let patience = inner.patience.as_millis() as u64;
        is_to_be_told.then(|| DueObject::new(envelope.id, now.saturating_add(patience), since))
    }

    /// Takes objects, of which some may be here already; durable when it returns.
    ///
    /// # Errors
    /// Faults of the store.
    pub(crate) async fn take(&self, due: Vec<DueObject>) -> Result<(), StoreError> {
        if !due.is_empty() {
            self.inner.queue.lock().await.add(&due).await?;
            self.inner.bell.notify_one();
        }
        Ok(())
    }

    /// Tells recipients until it is told to stop. What is still to be done stays in the store.
    ///
    /// # Errors
    /// Faults of the stores.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), ServiceError> {
        let work = async {
            self.inner.queue.lock().await.read_anew();
            loop {
                let pause = self.inner.tell_due().await?;
                // That nobody rang is no failure.
                let _ = tokio::time::timeout(pause, self.inner.bell.notified()).await;
            }
        };
        shutdown.run_until_cancelled(work).await.unwrap_or(Ok(()))
    }
}

impl Inner {
    fn readers(&self, envelope: &SignedEnvelope) -> impl Iterator<Item = Address> {
        let (own, owner) = (self.own, envelope.id.owner);
        let readers = envelope.grants.iter().map(|grant| grant.recipient);
        readers
            .filter(move |reader| *reader != own && *reader != owner)
            .take(MAX_READERS)
    }

    /// Deals with what is due; how long nothing is then.
    async fn tell_due(&self) -> Result<Duration, ServiceError> {
        loop {
            if !self.ports.network.has_peers() {
                return Ok(ALONE);
            }
            let (due, pause) = self.queue.lock().await.due(now_ms(), ROUND).await?;
            if due.is_empty() {
                return Ok(pause);
            }
            let owners = self.owners_of(&due).await;
            let done: Vec<(DueObject, Option<DueObject>)> = stream::iter(due)
                .map(|due| self.deal_with(due, &owners))
                .buffer_unordered(AT_ONCE)
                .try_collect()
                .await?;
            self.queue.lock().await.replace(&done).await?;
        }
    }

    /// The object, and when it is to be dealt with again, if it is.
    async fn deal_with(
        &self,
        due: DueObject,
        owners: &HashMap<Address, OwnerState>,
    ) -> Result<(DueObject, Option<DueObject>), ServiceError> {
        let again = match owners.get(&due.object.owner) {
            Some(OwnerState::Gone) => self.tell(&due).await?,
            Some(OwnerState::Stranger) if due.attempts.failed < MAX_LOOKS => {
                Some(due.again(now_ms(), PAUSES))
            }
            Some(OwnerState::Stranger | OwnerState::There) | None => None,
        };
        Ok((due, again))
    }

    /// Looks for the owners of these objects, once for each.
    async fn owners_of(&self, due: &[DueObject]) -> HashMap<Address, OwnerState> {
        let mut owners = HashMap::new();
        for DueObject { object, .. } in due {
            if let Entry::Vacant(place) = owners.entry(object.owner) {
                place.insert(self.state_of(object.owner).await);
            }
        }
        owners
    }

    async fn state_of(&self, owner: Address) -> OwnerState {
        if !self.is_established(owner).await {
            OwnerState::Stranger
        } else if self.is_there(owner).await {
            OwnerState::There
        } else {
            OwnerState::Gone
        }
    }

    async fn is_established(&self, owner: Address) -> bool {
        match &self.ports.standing {
            Some(standing) => standing.is_established(owner).await,
            None => true,
        }
    }

    /// An owner is gone also where it cannot be looked for: then nobody is reached either, and
    /// it is looked for again.
    async fn is_there(&self, owner: Address) -> bool {
        self.ports.network.is_there(owner).await.unwrap_or(false)
    }

    /// Tells the readers of an object; when to try again, where one was not reached and no peer
    /// keeps the notice for it.
    async fn tell(&self, due: &DueObject) -> Result<Option<DueObject>, ServiceError> {
        let (now, end) = (now_ms(), due.attempts.end());
        let envelope = self.ports.objects.envelope(&due.object).await?;
        let Some(envelope) = envelope.filter(|envelope| now < end && !envelope.is_gone(now)) else {
            return Ok(None);
        };
        let mut are_all_told = true;
        for reader in self.readers(&envelope) {
            let letter = notice_of(self.ports.signer.as_ref(), &envelope, reader, now..end)?;
            are_all_told &= self.send(&letter).await;
        }
        Ok((!are_all_told).then(|| due.again(now, PAUSES)))
    }

    /// Whether the recipient has the notice, or peers keep it for it.
    async fn send(&self, letter: &Letter) -> bool {
        match self.ports.network.send(letter).await {
            Ok(report) => report.delivered || report.kept > 0,
            Err(NetworkError::Stopped) => false,
            Err(error) => {
                tracing::debug!(addressee = %letter.addressee(), %error, "a notice was not sent");
                false
            }
        }
    }
}
