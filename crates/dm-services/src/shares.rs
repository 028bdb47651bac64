//! Where the shares of this node stand, each with its recipient.

use std::sync::Arc;

use alloy_primitives::Address;
use dm_core::{
    contact::ContactName,
    descriptor::Descriptor,
    hash::DataHash,
    payment::PaymentReceipt,
    ports::{Catalog, ComplianceLog, EventFilter, HistoryEntry, HistoryQuery, Sealer, Signer},
    receipt::Anchor,
    sent::{SentQuery, SentShare, SentState},
};

use crate::{DataManager, PaymentProcessor, ServiceError, contacts::names_of, listing_keys::ListingKeys};

/// Most shares and events that are told of one piece of data.
const MAX_TOLD: usize = 1000;

/// What the service works with.
#[derive(Clone)]
pub struct SharesPorts {
    /// Where shares, contacts and events are kept.
    pub catalog: Arc<dyn Catalog>,
    /// Says what is anchored.
    pub log: Arc<dyn ComplianceLog>,
    /// Opens descriptors.
    pub sealer: Arc<dyn Sealer>,
    /// The node account.
    pub signer: Arc<dyn Signer>,
    /// Knows who has paid.
    pub payments: PaymentProcessor,
    /// Knows the readers.
    pub data: DataManager,
}

/// A share, and all that is known of where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareEntry {
    /// What the catalog knows.
    pub share: SentShare,
    /// By which name its recipient is known here.
    pub contact: Option<ContactName>,
    /// What is said of the data; `None` for shares of earlier versions.
    pub descriptor: Option<Descriptor>,
    /// The anchor of its event, once there is one.
    pub anchor: Option<Anchor>,
    /// What the recipient has paid for it.
    pub payment: Option<PaymentReceipt>,
}

/// Which shares are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShareFilter {
    /// Those with this recipient.
    pub recipient: Option<Address>,
    /// Those of data with this name.
    pub name: Option<String>,
    /// Those of data with all of these labels.
    pub labels: Vec<(String, String)>,
    /// Those in one of these states; none stands for all.
    pub states: Vec<SentState>,
}

/// A page of shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharePage {
    /// The newest first.
    pub entries: Vec<ShareEntry>,
    /// Where the next page begins, if there is one.
    pub next: Option<u64>,
}

/// All that is known of data that this node has shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedData {
    /// Its shares, the newest first, at most 1,000.
    pub entries: Vec<ShareEntry>,
    /// Who can read it now.
    pub readers: Vec<Address>,
    /// Its events in the log, the newest first, at most 1,000.
    pub events: Vec<HistoryEntry>,
}

/// What this node has shared; cheap to clone.
#[derive(Clone)]
pub struct Shares {
    ports: SharesPorts,
    replicas_wanted: u32,
    keys: Arc<ListingKeys>,
}

impl Shares {
    /// A service over these ports, of a node that wants so many copies of each object at
    /// its peers.
    ///
    /// # Errors
    /// [`ServiceError::Fault`] where the node account cannot sign.
    pub fn new(ports: SharesPorts, replicas_wanted: u32) -> Result<Self, ServiceError> {
        Ok(Self {
            keys: Arc::new(ListingKeys::of_shares(ports.signer.as_ref())?),
            ports,
            replicas_wanted,
        })
    }

    /// Copies of each object that its peers should hold.
    pub fn replicas_wanted(&self) -> u32 {
        self.replicas_wanted
    }

    /// A page of at most `limit` shares, which begins behind `cursor`.
    ///
    /// # Errors
    /// Those of the catalog and the log.
    pub async fn page(
        &self,
        filter: &ShareFilter,
        cursor: Option<u64>,
        limit: usize,
    ) -> Result<SharePage, ServiceError> {
        let name = filter.name.as_ref().map(|name| self.keys.name(name));
        let labels = filter
            .labels
            .iter()
            .map(|(key, value)| self.keys.label(key, value));
        let query = SentQuery {
            recipient: filter.recipient,
            terms: name.into_iter().chain(labels).collect(),
            states: filter.states.iter().copied().collect(),
            before: cursor,
            // One more tells whether there is a next page.
            limit: limit.saturating_add(1),
        };
        let mut shares = self.ports.catalog.sent_shares(&query).await?;
        let has_next = shares.len() > limit;
        shares.truncate(limit);
        let next = shares.last().filter(|_| has_next).map(|(number, _)| *number);
        let shares = shares.into_iter().map(|(_, share)| share).collect();
        let entries = self.entries(shares).await?;
        Ok(SharePage { entries, next })
    }

    /// All that is known of data that this node has shared.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where it has not.
    pub async fn of_data(&self, data_hash: &DataHash) -> Result<SharedData, ServiceError> {
        let ports = &self.ports;
        let shares = ports.catalog.sent_shares_of(data_hash, MAX_TOLD).await?;
        if shares.is_empty() {
            return Err(ServiceError::NotFound);
        }
        let readers = match ports.data.readers(data_hash).await {
            Err(ServiceError::NotFound | ServiceError::NotGranted) => Vec::new(),
            readers => readers?,
        };
        let query = HistoryQuery {
            filter: EventFilter {
                kinds: Default::default(),
                data_hash: Some(*data_hash),
                recipient: None,
            },
            before: None,
            limit: MAX_TOLD,
        };
        Ok(SharedData {
            entries: self.entries(shares).await?,
            readers,
            events: ports.log.history(&query).await?.entries,
        })
    }

    async fn entries(&self, shares: Vec<SentShare>) -> Result<Vec<ShareEntry>, ServiceError> {
        let ports = &self.ports;
        let recipients = shares.iter().map(|share| share.recipient);
        let contacts = names_of(ports.catalog.as_ref(), recipients).await?;
        let recorded: Vec<u64> = shares.iter().filter_map(|share| share.leaf_index).collect();
        let anchors = ports.log.anchors_of(&recorded).await?;
        let mut entries = Vec::with_capacity(shares.len());
        for share in shares {
            entries.push(ShareEntry {
                contact: contacts.get(&share.recipient).cloned(),
                descriptor: self.descriptor_of(&share),
                anchor: share.leaf_index.and_then(|index| anchors.get(&index).copied()),
                payment: self.payment_of(&share).await?,
                share,
            });
        }
        Ok(entries)
    }

    /// What is said of the data. What cannot be opened was written under another node account.
    fn descriptor_of(&self, share: &SentShare) -> Option<Descriptor> {
        let sealed = share.descriptor.as_ref()?;
        self.keys.open(self.ports.sealer.as_ref(), sealed)
    }

    async fn payment_of(&self, share: &SentShare) -> Result<Option<PaymentReceipt>, ServiceError> {
        match share.has_payment {
            true => self.ports.payments.made(&share.data_hash, share.recipient).await,
            false => Ok(None),
        }
    }
}
