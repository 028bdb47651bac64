use std::{ops::Range, sync::Arc};

use alloy_primitives::Address;
use async_trait::async_trait;

use crate::{
    api_key::{ApiKeyRecord, KeyUsage},
    envelope::ObjectId,
    hash::{DataHash, Locator},
    idempotency::IdempotencyKey,
    lease::Epoch,
    peer::PeerRecord,
    share::{NewShare, ReadableObject, ShareRecord, WrappedKey},
};

/// Why the catalog did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// Disk full.
    #[error("no space left in the catalog")]
    Full,
    /// Another writer was first: what was to be unique exists already.
    #[error("conflict: {0}")]
    Conflict(String),
    /// The database is damaged or was written by a newer version.
    #[error("the catalog is damaged: {0}")]
    Corrupt(String),
    /// The medium refuses. Nothing was changed; it may work again later.
    #[error("the catalog cannot be used at the moment: {0}; try again later")]
    Unavailable(String),
    /// The medium failed while a change was made durable, and whether the change
    /// was made cannot be told yet. Whoever asks again learns it.
    #[error("whether the catalog has the change is not known yet: {0}; ask again")]
    Unsettled(String),
    /// The lease is not of this epoch any more, or has ended: whoever writes no longer leads.
    /// Nothing was changed.
    #[error("epoch {0} of the lease has ended: this instance does not lead any more")]
    NotLeading(Epoch),
    /// This instance seemed to be gone, and another one has taken over what it was about. Nothing was
    /// changed.
    #[error("another instance has taken this work over: this one was silent for too long")]
    TurnLost,
    /// The database failed.
    #[error("the catalog failed: {0}")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl CatalogError {
    /// The same once more, for everybody whose change failed for one reason.
    #[must_use]
    pub fn repeated(&self) -> Self {
        match self {
            Self::Full => Self::Full,
            Self::Conflict(with) => Self::Conflict(with.clone()),
            Self::Corrupt(what) => Self::Corrupt(what.clone()),
            Self::Unavailable(why) => Self::Unavailable(why.clone()),
            Self::Unsettled(why) => Self::Unsettled(why.clone()),
            Self::NotLeading(epoch) => Self::NotLeading(*epoch),
            Self::TurnLost => Self::TurnLost,
            Self::Failed(source) => Self::Failed(source.to_string().into()),
        }
    }
}

/// What became of a share that was to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShareInsert {
    /// It is new, and durable.
    Inserted,
    /// There is a share of the same data with the same recipient.
    Exists(ShareRecord),
    /// The client used the idempotency key for this other share.
    KeyReused(ShareRecord),
}

/// A share, and its number in the order of arrival.
pub type NumberedShare = (u64, ShareRecord);

/// Keeps the shares of this node. A share counts as recorded once the event
/// log of the same catalog has a `data_share` or `grant` event with its data
/// hash and recipient.
#[async_trait]
pub trait ShareCatalog: Send + Sync {
    /// Lets a share come into being: in one transaction it is kept, its mandate is
    /// used, payments for it are delivered, the grant is noted as owed where it is,
    /// and for an object that was stored for it the key is kept and the end of the
    /// data scheduled. Durable when it returns.
    ///
    /// A share that exists stays as it is; the object takes the place of the present
    /// one all the same. Under an idempotency key of another share nothing changes.
    ///
    /// # Errors
    /// Then nothing has changed, unless the commit itself failed: then only the
    /// catalog knows, and is to be asked.
    async fn commit_share(&self, share: &NewShare) -> Result<ShareInsert, CatalogError>;

    /// Takes back a share whose object is not there, and that no event speaks of: its
    /// mandate and its idempotency key can be used again, and payments for it are
    /// undelivered, unless such a share was recorded before. Returns whether there was
    /// one; a share that is recorded stays.
    async fn forget_share(&self, data_hash: &DataHash, recipient: Address) -> Result<bool, CatalogError>;

    /// The share of this data with this recipient.
    async fn share(
        &self,
        data_hash: &DataHash,
        recipient: Address,
    ) -> Result<Option<ShareRecord>, CatalogError>;

    /// The share for which a client used this key.
    async fn share_by_key(&self, key: &IdempotencyKey) -> Result<Option<ShareRecord>, CatalogError>;

    /// Whether this data is shared with anybody.
    async fn is_shared(&self, data_hash: &DataHash) -> Result<bool, CatalogError>;

    /// Shares that have no event yet, in the order of their numbers, after `after`:
    /// the node stopped in between, or the log took no event.
    async fn unrecorded_shares(&self, after: u64, limit: usize) -> Result<Vec<NumberedShare>, CatalogError>;

    /// The shares of this data that have no event yet.
    async fn unrecorded_shares_of(&self, data_hash: &DataHash) -> Result<Vec<ShareRecord>, CatalogError>;

    /// Whether there is a key for these chunks of the object, the present one or one
    /// that a revocation has prepared. An own object without one belongs to no share.
    async fn is_known(&self, id: &ObjectId, chunk_list: &[u8; 32]) -> Result<bool, CatalogError>;

    /// Data whose object belongs to `owner`, in the order of the locators, after `after`.
    async fn objects_of(
        &self,
        owner: Address,
        after: Option<Locator>,
        limit: usize,
    ) -> Result<Vec<ReadableObject>, CatalogError>;

    /// Notes that the recipient's grant is not in the envelope, so that it is owed;
    /// `false` takes the note back.
    async fn set_grant_owed(
        &self,
        data_hash: &DataHash,
        recipient: Address,
        owed: bool,
    ) -> Result<(), CatalogError>;

    /// Recipients to whom grants are owed, each once, in the order of their addresses,
    /// after `after`.
    async fn owed_recipients(
        &self,
        after: Option<Address>,
        limit: usize,
    ) -> Result<Vec<Address>, CatalogError>;

    /// Shares with this recipient whose grant is owed, in the order of their numbers,
    /// after `after`.
    async fn owed_grants(
        &self,
        recipient: Address,
        after: u64,
        limit: usize,
    ) -> Result<Vec<NumberedShare>, CatalogError>;

    /// Sets how many peers hold the object's envelope with this sequence number.
    async fn set_replicas(&self, id: &ObjectId, sequence: u64, replicas: u32) -> Result<(), CatalogError>;

    /// How many peers are known to hold the object, and the sequence number of
    /// the envelope that they hold.
    async fn replicas(&self, id: &ObjectId) -> Result<Option<(u32, u64)>, CatalogError>;

    /// Own objects (owner `owner`) that fewer than `factor` peers hold, in the
    /// order in which they became readable, after `after` (nothing where that
    /// one is not readable any more).
    async fn under_replicated(
        &self,
        owner: Address,
        factor: u32,
        after: Option<DataHash>,
        limit: usize,
    ) -> Result<Vec<ReadableObject>, CatalogError>;

    /// Shares that are recorded at a log position in `positions`, whose readable
    /// object has at least one replica, and whose receipt has not been put into the
    /// envelope yet, in the order of their first log position, which comes with each.
    async fn receipts_to_spread(
        &self,
        positions: Range<u64>,
        limit: usize,
    ) -> Result<Vec<(u64, ShareRecord)>, CatalogError>;

    /// Notes that the receipt of a share is in the object's envelope. It is due
    /// again once the anchor that first covered its event moves or leaves the
    /// chain (see [`EventLog::put_checkpoint`](super::EventLog::put_checkpoint)).
    async fn set_receipt_spread(&self, data_hash: &DataHash, recipient: Address) -> Result<(), CatalogError>;

    /// Whether the receipt of a share is in the envelope of its object.
    async fn is_receipt_spread(&self, locator: &Locator, recipient: Address) -> Result<bool, CatalogError>;
}

/// A content key that was wrapped again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrapped {
    /// Whose key it is.
    pub data_hash: DataHash,
    /// As it was wrapped before.
    pub old: WrappedKey,
    /// As it is wrapped now.
    pub new: WrappedKey,
}

/// Keeps the wrapped content keys of the objects that this node can read.
#[async_trait]
pub trait ReadableObjects: Send + Sync {
    /// Keeps or replaces the entry of a data hash; durable when it returns.
    async fn put_readable(&self, object: &ReadableObject) -> Result<(), CatalogError>;

    /// The entry of the data with this locator.
    async fn readable_at(&self, locator: &Locator) -> Result<Option<ReadableObject>, CatalogError>;

    /// The entry of a data hash.
    async fn readable(&self, data_hash: &DataHash) -> Result<Option<ReadableObject>, CatalogError>;

    /// Entries whose key is wrapped by a version before this one, in the order in which
    /// they became readable, after `after` (nothing where that one is not readable
    /// any more).
    async fn wrapped_before(
        &self,
        version: u32,
        after: Option<DataHash>,
        limit: usize,
    ) -> Result<Vec<ReadableObject>, CatalogError>;

    /// Replaces wrapped keys, each only where the old one is still there; all
    /// durable when it returns.
    async fn rewrap(&self, keys: Vec<Rewrapped>) -> Result<(), CatalogError>;

    /// Destroys the entry and overwrites its key; whether there was one.
    async fn remove_readable(&self, data_hash: &DataHash) -> Result<bool, CatalogError>;
}

/// Why data is erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErasureCause {
    /// Somebody ordered it.
    Ordered,
    /// Its time is over.
    Expired,
}

/// Keeps what is to be erased until all of it is done, through restarts.
#[async_trait]
pub trait Erasures: Send + Sync {
    /// Destroys the key of the data, overwrites it, and forgets its shares; no
    /// file of the catalog holds the key when this returns. What else belongs to
    /// the erasure is to be finished.
    ///
    /// # Errors
    /// [`CatalogError::Unsettled`] where the key is deleted, but a file still holds
    /// it because of a reader that takes long: ask again.
    async fn begin_erasure(&self, data_hash: &DataHash, cause: ErasureCause) -> Result<(), CatalogError>;

    /// Erasures that were begun and not ended, in an order of their own, after `after`.
    async fn unfinished_erasures(
        &self,
        after: Option<DataHash>,
        limit: usize,
    ) -> Result<Vec<DataHash>, CatalogError>;

    /// Keeps that the data is to be erased at this time, in milliseconds since the
    /// Unix epoch, in place of what was kept before; `None`: not by itself. The
    /// beginning of its erasure takes this back, too.
    async fn schedule_erasure(&self, data_hash: &DataHash, at: Option<u64>) -> Result<(), CatalogError>;

    /// Data that is to be erased at `now` or before, and when, the longest overdue
    /// first, after `after`.
    async fn due_erasures(
        &self,
        now: u64,
        after: Option<(u64, DataHash)>,
        limit: usize,
    ) -> Result<Vec<(u64, DataHash)>, CatalogError>;

    /// Everything that belongs to the erasure is done.
    ///
    /// # Errors
    /// [`CatalogError::Unavailable`] where a file of the catalog still holds a key
    /// that was destroyed.
    async fn end_erasure(&self, data_hash: &DataHash) -> Result<(), CatalogError>;
}

/// Keeps API keys, for this process and for command-line tools beside it.
#[async_trait]
pub trait ApiKeyCatalog: Send + Sync {
    /// Keeps a new key.
    ///
    /// # Errors
    /// [`CatalogError::Conflict`] where the id is taken.
    async fn insert_api_key(&self, key: &ApiKeyRecord) -> Result<(), CatalogError>;

    /// The key with this id.
    async fn api_key(&self, id: &str) -> Result<Option<ApiKeyRecord>, CatalogError>;

    /// All keys, oldest first.
    async fn api_keys(&self) -> Result<Vec<ApiKeyRecord>, CatalogError>;

    /// Marks a key as revoked at `now` (milliseconds since the Unix epoch);
    /// whether there is such a key.
    async fn revoke_api_key(&self, id: &str, now: u64) -> Result<bool, CatalogError>;

    /// Adds what keys were used for, by their ids, to what is kept: bytes, and a later
    /// time. Returns what is kept now, by all who count; ids of no key are left out. Durable
    /// when it returns. The keys themselves do not change by it.
    ///
    /// # Errors
    /// After [`CatalogError::Unsettled`] it may have been added.
    async fn add_api_key_usage(
        &self,
        usage: &[(Arc<str>, KeyUsage)],
    ) -> Result<Vec<(Arc<str>, KeyUsage)>, CatalogError>;

    /// A number that changes whenever another process may have changed the
    /// keys, so that what was cached must be read again.
    async fn api_key_generation(&self) -> Result<u64, CatalogError>;
}

/// Keeps the peer book.
#[async_trait]
pub trait PeerCatalog: Send + Sync {
    /// Keeps or replaces these lines.
    async fn put_peers(&self, peers: &[PeerRecord]) -> Result<(), CatalogError>;

    /// The whole book, last seen first.
    async fn peers(&self) -> Result<Vec<PeerRecord>, CatalogError>;

    /// Strikes peers out.
    async fn remove_peers(&self, peer_ids: &[String]) -> Result<(), CatalogError>;
}
