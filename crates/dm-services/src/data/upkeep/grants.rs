//! Makes the grants that are owed as soon as their recipients are known.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use alloy_primitives::Address;
use async_trait::async_trait;
use dm_core::{
    ports::{KeyRing, NetworkStatus, ShareCatalog},
    share::ShareRecord,
};

use super::{
    PAGE,
    due::{Due, DueWork, Work},
    shares::was_taken_back,
};
use crate::{
    LateNews, ServiceError,
    data::{DataLocks, address::AddressBook, copies::Copies, objects::OwnObjects},
};

/// Longest pause before a recipient that is unknown is looked up again.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// When recipients that are unknown are looked up again.
#[derive(Default)]
pub(super) struct Absent {
    pauses: HashMap<Address, (Instant, Duration)>,
    /// Peers at the last look: a new one may know, or be, who was absent.
    peers: u64,
}

impl Absent {
    fn is_due(&self, recipient: &Address) -> bool {
        self.pauses
            .get(recipient)
            .is_none_or(|(next, _)| Instant::now() >= *next)
    }

    /// Doubles the pause of a recipient that is still unknown.
    fn note(&mut self, recipient: Address, first_pause: Duration) {
        let pause = match self.pauses.get(&recipient) {
            Some((_, pause)) => (*pause * 2).min(LONGEST_PAUSE),
            None => first_pause,
        };
        self.pauses.insert(recipient, (Instant::now() + pause, pause));
    }

    fn meet(&mut self, peers: u64) {
        if peers > self.peers {
            self.pauses.clear();
        }
        self.peers = peers;
    }
}

/// Recipients to whom grants are owed: those of them that the network knows by now get
/// theirs.
pub(super) struct Granting {
    pub(super) shares: Arc<dyn ShareCatalog>,
    pub(super) network: Arc<dyn NetworkStatus>,
    pub(super) key_ring: Arc<dyn KeyRing>,
    pub(super) own: Arc<OwnObjects>,
    pub(super) addresses: Arc<AddressBook>,
    pub(super) copies: Copies,
    pub(super) locks: DataLocks,
    pub(super) late_news: LateNews,
    pub(super) retry_interval: Duration,
    /// Recipients who were not found.
    pub(super) absent: Mutex<Absent>,
}

#[async_trait]
impl DueWork for Granting {
    const KIND: Work = Work::Granting;
    type Cursor = Address;
    type Item = Address;

    async fn page(
        &self,
        after: Option<Self::Cursor>,
    ) -> Result<Vec<Due<Self::Cursor, Self::Item>>, ServiceError> {
        if after.is_none() {
            self.absent().meet(self.network.stats().active_peers);
        }
        let shares = &self.shares;
        let page = shares.owed_recipients(after, PAGE).await?;
        let due = page.into_iter().map(|recipient| Due {
            cursor: recipient,
            since: None,
            item: recipient,
        });
        Ok(due.collect())
    }

    async fn handle(&self, recipient: Self::Item) -> Result<(), ServiceError> {
        self.complete_grants_to(recipient).await
    }
}

impl Granting {
    /// Makes all grants that are owed to a recipient, if it is known.
    ///
    /// # Errors
    /// The last failure; one does not stop the others.
    async fn complete_grants_to(&self, recipient: Address) -> Result<(), ServiceError> {
        if !self.is_present(recipient).await {
            return Ok(());
        }
        let (mut after, mut outcome) = (0, Ok(()));
        loop {
            let shares = &self.shares;
            let owed = shares.owed_grants(recipient, after, PAGE).await?;
            let Some((last, _)) = owed.last() else {
                return outcome;
            };
            after = *last;
            for (_, share) in &owed {
                match self.complete_grant(share).await {
                    Ok(true) => self.late_news.granted_to(recipient),
                    Ok(false) => {}
                    Err(error) => outcome = Err(error),
                }
            }
        }
    }

    /// Whether the network knows the recipient's key by now.
    async fn is_present(&self, recipient: Address) -> bool {
        if recipient == self.own.address() {
            return true;
        }
        if !self.absent().is_due(&recipient) {
            return false;
        }
        let found = self.addresses.address_record(recipient).await;
        if matches!(found, Ok(Some(_))) {
            self.absent().pauses.remove(&recipient);
            return true;
        }
        self.absent().note(recipient, self.retry_interval);
        false
    }

    /// Makes a grant that is owed; whether the recipient has it now.
    async fn complete_grant(&self, share: &ShareRecord) -> Result<bool, ServiceError> {
        let _lock = self.locks.lock(share.data_hash.locator()).await?;
        let Some(object) = self.own.own_object(&share.data_hash).await? else {
            return Ok(false);
        };
        if was_taken_back(self.shares.as_ref(), share).await? {
            return Ok(false);
        }
        if self.own.has_grant(&object.id, share.recipient).await? {
            let (data_hash, recipient) = (&share.data_hash, share.recipient);
            self.shares.set_grant_owed(data_hash, recipient, false).await?;
            return Ok(true);
        }
        let key = self.key_ring.unwrap(&object.key)?;
        let Some(grant) = self
            .addresses
            .make_grant(&key, object.id, share.recipient)
            .await?
        else {
            return Ok(false);
        };
        self.own.put_into_envelope(&object.id, share, Some(grant)).await?;
        self.copies.tell_later(&object.id);
        tracing::info!(recipient = %share.recipient, locator = %object.id.locator, "made an owed grant");
        Ok(true)
    }

    fn absent(&self) -> MutexGuard<'_, Absent> {
        self.absent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
