//! Fetches what the operator wants to have at once: by sender, size and label.

use std::{
    collections::HashMap,
    sync::{Arc, MutexGuard, PoisonError},
    time::Duration,
};

use alloy_primitives::Address;
use dm_core::{
    clock::now_ms,
    config::{FetchConfig, FetchFrom, InvalidFetchFrom},
    contact::Party,
    descriptor::InvalidDescription,
    envelope::ObjectId,
    inbox::{InboxItem, ItemState},
    ports::{
        Acquaintance, Catalog, KeyValueStore, ObjectStore, Sealer, Signer, Standing, StorageQuota, StoreError,
    },
};
use futures::TryStreamExt;
use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;

use super::standing_of;
use crate::{
    DataManager, PluginManager, ServiceError,
    listing_keys::ListingKeys,
    object_queue::{DueObject, LONGEST_SLEEP, ObjectQueue},
    running::{Limits, Running},
};

/// Items that are fetched at the same time.
const AT_ONCE: Limits = Limits {
    in_all: 16,
    of_one: 8,
};
/// Items that are looked at in the queue at a time: more than are fetched at once.
const ROUND: usize = 64;
/// First and longest pause after an attempt that failed, in milliseconds.
const PAUSES: (u64, u64) = (30_000, 3_600_000);

/// What is fetched at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchPolicy {
    /// Whose data.
    pub from: Vec<FetchFrom>,
    /// Bytes of the largest data.
    pub max_bytes: u64,
    /// Labels of which the data must have one, if there are any.
    pub labels: Vec<(String, String)>,
}

/// A setting of a policy that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPolicy {
    /// Of `inbox.fetch.from`.
    #[error("inbox.fetch.from {0}")]
    From(#[from] InvalidFetchFrom),
    /// Of `inbox.fetch.labels`.
    #[error("inbox.fetch.labels: {0}")]
    Labels(#[from] InvalidDescription),
}

impl FetchPolicy {
    /// What an operator has set.
    ///
    /// # Errors
    /// Where a setting names nobody, or no label.
    pub fn new(config: &FetchConfig) -> Result<Self, InvalidPolicy> {
        Ok(Self {
            from: config.senders()?,
            max_bytes: config.max_bytes,
            labels: config.labels()?,
        })
    }
}

/// What fetches work with.
#[derive(Clone)]
pub struct FetchPorts {
    /// Where items and contacts are kept.
    pub catalog: Arc<dyn Catalog>,
    /// Where objects are kept.
    pub objects: Arc<dyn ObjectStore>,
    /// How much room there is for them; without it, there is enough.
    pub quota: Option<Arc<dyn StorageQuota>>,
    /// A namespace of its own: what is still to be fetched.
    pub queue: Arc<dyn KeyValueStore>,
    /// Opens descriptors.
    pub sealer: Arc<dyn Sealer>,
    /// The node account.
    pub signer: Arc<dyn Signer>,
    /// Knows the senders; without it all are strangers.
    pub acquaintance: Option<Arc<dyn Acquaintance>>,
    /// Are asked before a fetch, once they run.
    pub plugins: Option<PluginManager>,
    /// Fetches.
    pub data: DataManager,
}

/// Fetches items of the inbox at once; cheap to clone.
#[derive(Clone)]
pub struct Fetches {
    inner: Arc<Inner>,
}

struct Inner {
    ports: FetchPorts,
    policy: FetchPolicy,
    keys: ListingKeys,
    queue: Mutex<ObjectQueue>,
    /// What waits for its turn at the queue.
    waiting: std::sync::Mutex<Vec<DueObject>>,
    /// Rings when something is to be fetched.
    bell: Notify,
}

/// The fetches that are under way, each of one item.
type Fetching<'a> = Running<'a, ObjectId, Fetched>;

/// What came of a fetch: the item, and when it is tried again, if it is.
type Fetched = (DueObject, Option<DueObject>);

/// What came of an attempt.
enum Attempt {
    /// There is nothing more to do.
    Done,
    /// It is tried again later.
    Failed,
}

impl Fetches {
    /// Nothing is fetched before [`Fetches::run`].
    ///
    /// # Errors
    /// [`ServiceError::Fault`] where the node account cannot sign.
    pub fn new(ports: FetchPorts, policy: FetchPolicy) -> Result<Self, ServiceError> {
        Ok(Self {
            inner: Arc::new(Inner {
                keys: ListingKeys::of_inbox(ports.signer.as_ref())?,
                queue: Mutex::new(ObjectQueue::new(ports.queue.clone())),
                waiting: std::sync::Mutex::default(),
                bell: Notify::new(),
                policy,
                ports,
            }),
        })
    }

    /// Has a listed item fetched, if it is one that is wanted at once. Durable when it
    /// returns.
    pub(super) async fn take_up(&self, item: &InboxItem) -> Result<(), ServiceError> {
        let inner = &self.inner;
        if !inner.may_be_wanted(item) || !inner.is_from_wanted(item).await? {
            return Ok(());
        }
        let now = now_ms();
        let fetch = DueObject::new(item.id(), now, now);
        inner.add(fetch).await?;
        inner.bell.notify_one();
        Ok(())
    }

    /// Fetches until it is told to stop. What is still to be fetched stays in the store.
    ///
    /// # Errors
    /// Faults of the stores.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), ServiceError> {
        let inner = &self.inner;
        let work = async {
            if let Some(plugins) = &inner.ports.plugins {
                plugins.wait_until_started().await;
            }
            inner.fetch_all().await
        };
        shutdown.run_until_cancelled(work).await.unwrap_or(Ok(()))
    }
}

impl Inner {
    /// Takes an item into the queue; durable when it returns. The first of those who wait for
    /// the queue takes the others with it, in one change.
    async fn add(&self, fetch: DueObject) -> Result<(), StoreError> {
        self.waiting().push(fetch);
        let mut queue = self.queue.lock().await;
        let new = std::mem::take(&mut *self.waiting());
        let added = queue.add(&new).await;
        if added.is_err() {
            // Who waits behind this one tries again.
            self.waiting().extend(new);
        }
        added
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<DueObject>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches whatever is due, some items at the same time, of which no sender has more than
    /// its share.
    async fn fetch_all(&self) -> Result<(), ServiceError> {
        let mut queue = self.queue.lock().await;
        queue.read_anew();
        queue.take_back_all().await?;
        drop(queue);
        let mut running = Running::new(AT_ONCE);
        loop {
            let pause = self.begin_due(&mut running).await?;
            tokio::select! {
                Some(ended) = running.ended() => {
                    let (ended, mut queue) = (ended?, self.queue.lock().await);
                    queue.replace(&ended).await?;
                    // Of senders with more than their share, the next ones come into the order.
                    for (sender, count) in senders_of(&ended) {
                        queue.take_back(&sender, count, now_ms()).await?;
                    }
                }
                () = self.bell.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Begins fetches of what is due; how long nothing more is to be begun.
    async fn begin_due<'a>(&'a self, running: &mut Fetching<'a>) -> Result<Duration, ServiceError> {
        while !running.is_full() {
            let mut queue = self.queue.lock().await;
            let (mut due, pause) = queue.due(now_ms(), ROUND).await?;
            let are_all = due.len() < ROUND;
            due.retain(|fetch| !running.contains(&fetch.object));
            if due.is_empty() {
                return Ok(pause);
            }
            let mut beyond_share = Vec::new();
            for fetch in due {
                if !running.has_room_for(&fetch.object.owner) {
                    beyond_share.push(fetch);
                } else if !running.is_full() {
                    let object = fetch.object;
                    running.begin(object.owner, vec![object], self.attempt(fetch));
                }
            }
            if are_all {
                // Those that wait for others of their senders hide nobody.
                return Ok(pause);
            }
            queue.set_aside(&beyond_share).await?;
        }
        Ok(LONGEST_SLEEP)
    }

    /// Fetches an item; the item, and when it is tried again, if it is.
    async fn attempt(&self, fetch: DueObject) -> Result<Fetched, ServiceError> {
        let now = now_ms();
        let is_over = now >= fetch.attempts.end();
        let again = match self.fetch(&fetch.object).await? {
            Attempt::Failed if !is_over => Some(fetch.again(now, PAUSES)),
            Attempt::Failed | Attempt::Done => None,
        };
        Ok((fetch, again))
    }

    async fn fetch(&self, object: &ObjectId) -> Result<Attempt, ServiceError> {
        // It may be over, or the settings may be others than when it was taken up.
        let Some(item) = self.wanted(object).await? else {
            return Ok(Attempt::Done);
        };
        if !self.has_room_for(&item).await? {
            tracing::warn!(locator = %object.locator, "there is no room to fetch data at once");
            return Ok(Attempt::Failed);
        }
        match self.read(&item).await {
            Ok(()) => {}
            Err(ServiceError::Refused { plugin, reason }) => {
                tracing::info!(plugin, reason, locator = %object.locator, owner = %object.owner, "a plugin does not let data be fetched");
                return Ok(Attempt::Done);
            }
            Err(error) => {
                tracing::warn!(locator = %object.locator, owner = %object.owner, %error, "data is fetched again later");
                return Ok(Attempt::Failed);
            }
        }
        // What was read may not have found room.
        Ok(match self.ports.catalog.readable(&item.data_hash).await? {
            Some(_) => Attempt::Done,
            None => Attempt::Failed,
        })
    }

    /// Reads data to its end; it is kept, and its item goes on, where it is whole.
    async fn read(&self, item: &InboxItem) -> Result<(), ServiceError> {
        let object = self.ports.data.open(&item.data_hash).await?;
        // Another sender may have shared what it calls the same data.
        let size = object.size();
        if size > self.policy.max_bytes {
            return Err(ServiceError::Damaged(
                format!("it has {size} bytes, and not {}", item.size).into(),
            ));
        }
        let mut pieces = object.read(0..size);
        while pieces.try_next().await?.is_some() {}
        Ok(())
    }

    /// The item of an object, where it is new and is to be fetched at once.
    async fn wanted(&self, object: &ObjectId) -> Result<Option<InboxItem>, ServiceError> {
        let catalog = &self.ports.catalog;
        let item = catalog.inbox_item(object).await?;
        let Some(item) = item.filter(|item| self.may_be_wanted(item)) else {
            return Ok(None);
        };
        let is_here = catalog.readable(&item.data_hash).await?.is_some();
        let is_wanted = !is_here && self.is_from_wanted(&item).await?;
        Ok(is_wanted.then_some(item))
    }

    fn may_be_wanted(&self, item: &InboxItem) -> bool {
        item.state == ItemState::New && item.size <= self.policy.max_bytes && self.has_wanted_label(item)
    }

    fn has_wanted_label(&self, item: &InboxItem) -> bool {
        let wanted = &self.policy.labels;
        let opened = || self.keys.open(self.ports.sealer.as_ref(), &item.descriptor);
        wanted.is_empty()
            || opened().is_some_and(|said| {
                let mut labels = said.description.labels.iter();
                labels.any(|(key, value)| {
                    wanted
                        .iter()
                        .any(|(k, v)| (k.as_str(), v.as_str()) == (key, value))
                })
            })
    }

    async fn is_from_wanted(&self, item: &InboxItem) -> Result<bool, ServiceError> {
        let standing = standing_of(self.ports.acquaintance.as_deref(), item.owner).await;
        if standing == Standing::Blocked {
            return Ok(false);
        }
        let contact = self.ports.catalog.contact_at(item.owner).await?;
        Ok(self.policy.from.iter().any(|from| match from {
            FetchFrom::Anyone => true,
            FetchFrom::Contacts => standing == Standing::Contact,
            FetchFrom::Party(Party::Address(address)) => *address == item.owner,
            FetchFrom::Party(Party::Contact(name)) => {
                contact.as_ref().is_some_and(|contact| contact.name == *name)
            }
        }))
    }

    /// Whether an item can be kept; one that is stored here already takes no more room.
    async fn has_room_for(&self, item: &InboxItem) -> Result<bool, ServiceError> {
        let Some(quota) = &self.ports.quota else {
            return Ok(true);
        };
        let left = quota.limits().foreign.saturating_sub(quota.kept().foreign);
        Ok(item.size <= left || self.ports.objects.envelope(&item.id()).await?.is_some())
    }
}

/// Whose these are, and how many of each.
fn senders_of(ended: &[Fetched]) -> HashMap<Address, usize> {
    let mut senders = HashMap::new();
    for (fetch, _) in ended {
        *senders.entry(fetch.object.owner).or_default() += 1;
    }
    senders
}
