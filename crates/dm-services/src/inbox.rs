//! The inbox: what others have shared with this node, listed as it comes.
//!
//! Whoever learns of an object that was shared with this node says so
//! ([`Arrivals::have_come`]). That is kept until [`Inbox::run`] has looked at the object: it
//! reads the envelope, opens the grant and the descriptor, and lists an item if the operator
//! lets its sender in ([`Accept`]).

use std::{sync::Arc, time::Duration};

use alloy_primitives::Address;
use dm_core::{
    acknowledgement::Delivery,
    clock::now_ms,
    config::Accept,
    contact::ContactName,
    descriptor::{Description, Descriptor},
    hash::DataHash,
    inbox::{InboxItem, InboxQuery, ItemState},
    ports::{
        Acquaintance, Catalog, ComplianceLog, Grants, ObjectExchange, ObjectStore, Sealer, Signer, Standing,
    },
};

use crate::{
    DataManager, Deliveries, PluginManager, ServiceError, contacts::names_of, listing_keys::ListingKeys,
    remembered::RememberedObjects,
};

mod admit;
mod arrivals;
mod fetches;
mod misses;

use self::misses::Misses;
pub use arrivals::Arrivals;
pub(crate) use arrivals::Stored;
pub use fetches::{FetchPolicy, FetchPorts, Fetches};

/// What the inbox works with.
#[derive(Clone)]
pub struct InboxPorts {
    /// Where objects are kept.
    pub objects: Arc<dyn ObjectStore>,
    /// Where items are kept.
    pub catalog: Arc<dyn Catalog>,
    /// Where objects are found that are not stored here.
    pub network: Arc<dyn ObjectExchange>,
    /// Opens grants.
    pub grants: Arc<dyn Grants>,
    /// Opens descriptors and receipts.
    pub sealer: Arc<dyn Sealer>,
    /// The node account.
    pub signer: Arc<dyn Signer>,
    /// Checks that a share is anchored.
    pub log: Arc<dyn ComplianceLog>,
    /// Knows the senders; without it all are strangers.
    pub acquaintance: Option<Arc<dyn Acquaintance>>,
    /// Tells what has come.
    pub arrivals: Arrivals,
    /// Acknowledges what was fetched.
    pub deliveries: Deliveries,
    /// Have a say in what is listed; where there are none, nobody has.
    pub plugins: Option<PluginManager>,
    /// Fetches at once what the operator wants; without it nothing is.
    pub fetches: Option<Fetches>,
    /// Erases what is taken out of the inbox.
    pub data: DataManager,
}

/// Who the sender is to the operator; without anybody who knows, a stranger.
async fn standing_of(acquaintance: Option<&dyn Acquaintance>, owner: Address) -> Standing {
    match acquaintance {
        Some(acquaintance) => acquaintance.standing_of(owner).await,
        None => Standing::Stranger,
    }
}

/// What an operator can set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InboxSettings {
    /// Whose shares are listed.
    pub accept: Accept,
    /// Between two attempts to look at what has come.
    pub retry_interval: Duration,
}

/// An item, and what its sender says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxEntry {
    /// The item.
    pub item: InboxItem,
    /// By which name its sender is known here.
    pub contact: Option<ContactName>,
    /// What its sender says of it.
    pub descriptor: Descriptor,
}

/// Which items are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InboxFilter {
    /// Those by this sender.
    pub from: Option<Address>,
    /// Those with this name.
    pub name: Option<String>,
    /// Those with all of these labels.
    pub labels: Vec<(String, String)>,
    /// Those in one of these states; none stands for all.
    pub states: Vec<ItemState>,
    /// Those listed at this time or later, in milliseconds since the Unix epoch.
    pub since: Option<u64>,
}

/// A page of the inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxPage {
    /// The newest first.
    pub entries: Vec<InboxEntry>,
    /// Where the next page begins, if there is one.
    pub next: Option<u64>,
}

/// What others have shared with this node; cheap to clone.
#[derive(Clone)]
pub struct Inbox {
    inner: Arc<Inner>,
}

struct Inner {
    ports: InboxPorts,
    own: Address,
    settings: InboxSettings,
    keys: ListingKeys,
    /// Objects that plugins did not let in, to say so once.
    refused: RememberedObjects,
    /// Objects that no peer had.
    misses: Misses,
}

impl Inbox {
    /// An inbox; it lists what comes while [`Inbox::run`] does.
    ///
    /// # Errors
    /// [`ServiceError::Fault`] where the node account cannot sign.
    pub fn new(ports: InboxPorts, settings: InboxSettings) -> Result<Self, ServiceError> {
        Ok(Self {
            inner: Arc::new(Inner {
                own: ports.signer.address(),
                keys: ListingKeys::of_inbox(ports.signer.as_ref())?,
                refused: RememberedObjects::default(),
                misses: Misses::default(),
                settings,
                ports,
            }),
        })
    }

    /// A page of at most `limit` items, which begins behind `cursor`.
    ///
    /// # Errors
    /// Those of the catalog.
    pub async fn page(
        &self,
        filter: &InboxFilter,
        cursor: Option<u64>,
        limit: usize,
    ) -> Result<InboxPage, ServiceError> {
        let (inner, keys) = (&self.inner, &self.inner.keys);
        inner.ports.catalog.expire_items(now_ms()).await?;
        let from = filter.from.map(|owner| keys.from(owner));
        let name = filter.name.as_ref().map(|name| keys.name(name));
        let labels = filter.labels.iter().map(|(key, value)| keys.label(key, value));
        let query = InboxQuery {
            terms: from.into_iter().chain(name).chain(labels).collect(),
            states: filter.states.iter().copied().collect(),
            since: filter.since,
            before: cursor,
            // One more tells whether there is a next page.
            limit: limit.saturating_add(1),
        };
        let mut items = inner.ports.catalog.inbox_items(&query).await?;
        let has_next = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| has_next).map(|(number, _)| *number);
        let items = items.into_iter().map(|(_, item)| item).collect();
        let entries = inner.entries(items).await?;
        Ok(InboxPage { entries, next })
    }

    /// The items of this data, one for each sender, the newest first.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where there is none.
    pub async fn entries_of(&self, data_hash: &DataHash) -> Result<Vec<InboxEntry>, ServiceError> {
        let catalog = &self.inner.ports.catalog;
        catalog.expire_items(now_ms()).await?;
        let items = catalog.items_of(data_hash).await?;
        if items.is_empty() {
            return Err(ServiceError::NotFound);
        }
        self.inner.entries(items).await
    }

    /// Tells the sender that its data was read and checked here; the same again is the same.
    /// Of several senders of the data, the newest one whose object was fetched. When this
    /// returns, the event in the log is durable, and the sender is told until it knows.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where the data is not listed, [`ServiceError::NotFetched`]
    /// before it was read here, [`ServiceError::ItemOver`] where it can be read no more, and
    /// [`ServiceError::AcknowledgesNothing`] where the operator wants it so; what was
    /// acknowledged before stays so in each case.
    pub async fn acknowledge(&self, data_hash: &DataHash) -> Result<Delivery, ServiceError> {
        let ports = &self.inner.ports;
        ports.catalog.expire_items(now_ms()).await?;
        let mut refused = None;
        for item in ports.catalog.items_of(data_hash).await? {
            match ports.deliveries.acknowledge(&item).await {
                Ok(delivery) => return Ok(delivery),
                Err(error) => {
                    refused.get_or_insert(error);
                }
            }
        }
        Err(refused.unwrap_or(ServiceError::NotFound))
    }

    /// Takes data out of the list for good, and erases what this node has fetched of it.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where it is not listed, and those of the erasure.
    pub async fn remove(&self, data_hash: &DataHash) -> Result<(), ServiceError> {
        let Inner { ports, own, .. } = &*self.inner;
        let catalog = &ports.catalog;
        let was_listed = !catalog.items_of(data_hash).await?.is_empty();
        // What this node has shared itself, too, stays.
        if was_listed
            && let Some(readable) = catalog.readable(data_hash).await?
            && readable.id.owner != *own
        {
            ports.data.erase(data_hash).await?;
        }
        match catalog.remove_items(data_hash).await? {
            true => Ok(()),
            false => Err(ServiceError::NotFound),
        }
    }
}

impl Inner {
    async fn entries(&self, items: Vec<InboxItem>) -> Result<Vec<InboxEntry>, ServiceError> {
        let senders = items.iter().map(|item| item.owner);
        let contacts = names_of(self.ports.catalog.as_ref(), senders).await?;
        let entries = items.into_iter();
        Ok(entries
            .map(|item| InboxEntry {
                contact: contacts.get(&item.owner).cloned(),
                descriptor: self.descriptor_of(&item),
                item,
            })
            .collect())
    }

    /// What the sender says. What cannot be opened was written under another node account.
    fn descriptor_of(&self, item: &InboxItem) -> Descriptor {
        let opened = self.keys.open(self.ports.sealer.as_ref(), &item.descriptor);
        opened.unwrap_or_else(|| Descriptor::new(item.data_hash, Description::default()))
    }
}
