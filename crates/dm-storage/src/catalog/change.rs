//! What can be written, and what came of it.

use std::{sync::Arc, time::Duration};

use dm_core::{
    Address,
    acknowledgement::Delivery,
    api_key::{ApiKeyRecord, KeyUsage},
    contact::{Contact, ContactName},
    envelope::ObjectId,
    hash::{DataHash, Locator},
    inbox::{Arrival, InboxItem, ItemState, Term},
    instance::{Instance, InstanceId},
    lease::{Epoch, Standing},
    news::News,
    operation::OperationId,
    order::{OrderRecord, OrderState, TokenRecord, Tries},
    peer::PeerRecord,
    ports::{
        AnchoredCheckpoint, BegunKeyChange, ErasureCause, LogEntry, OrderInsert, Retirement, Rewrapped,
        ShareInsert, TreeNode,
    },
    sent::ShareListing,
    share::{NewShare, ReadableObject},
    subscription::{DeadLetter, Progress, Subscription, SubscriptionId, SubscriptionState},
    token::TokenInfo,
    upload::{Received, UploadId, UploadRecord},
    user::{AuthorizedUser, UserId},
};

use super::namespaces::EntryChanges;

/// One write, on its own all or nothing.
#[derive(Debug)]
pub(super) enum Change {
    /// Made together with others of its kind.
    Bulk(BulkChange),
    /// Made after everything that was asked for before it.
    Ordered(OrderedChange),
    /// Made on its own, in any order.
    Single(SingleChange),
    /// Made only where this holds.
    Fenced(Fence, Box<Self>),
}

/// What must hold for a change to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fence {
    /// The newest lease is of this epoch and has not ended.
    Epoch(Epoch),
    /// The newest lease is or was that of this instance: no other one has had it since.
    Last(InstanceId),
    /// The instance stands as it did when it took its turn.
    Standing(Arc<Standing>),
}

/// Frequent changes, of which many are made by one statement.
#[derive(Debug)]
pub(super) enum BulkChange {
    CommitShare(Box<NewShare>),
    PutReadable(ReadableObject),
    Append {
        entries: Vec<LogEntry>,
        nodes: Vec<TreeNode>,
    },
    InsertOrder(Box<OrderRecord>),
    SetOrderState {
        id: OperationId,
        state: OrderState,
    },
    CloseOrder(OperationId),
}

/// Changes that take shares or keys away, or count them, and those of the lease: nothing that was asked for
/// earlier may come after them.
#[derive(Debug)]
pub(super) enum OrderedChange {
    ForgetShare {
        data_hash: DataHash,
        recipient: Address,
    },
    RemoveReadable(DataHash),
    RemoveItems(DataHash),
    RetireKey(u32),
    BeginErasure {
        data_hash: DataHash,
        cause: ErasureCause,
    },
    BeginRevocation {
        data_hash: DataHash,
        recipient: Address,
    },
    AdoptPreparedKey {
        data_hash: DataHash,
        chunk_list: [u8; 32],
    },
    ChangeLease(LeaseChange),
}

/// Changes of the lease: what waits behind one must be of the new epoch.
#[derive(Debug, Clone, Copy)]
pub(super) enum LeaseChange {
    Take { instance: InstanceId, lasts: Duration },
    Renew { epoch: Epoch, lasts: Duration },
    GiveBack(Epoch),
}

/// All other changes.
#[derive(Debug)]
pub(super) enum SingleChange {
    SetGrantOwed {
        data_hash: DataHash,
        recipient: Address,
        owed: bool,
    },
    SetReplicas {
        id: ObjectId,
        sequence: u64,
        replicas: u32,
    },
    SetReceiptSpread {
        data_hash: DataHash,
        recipient: Address,
    },
    Rewrap(Vec<Rewrapped>),
    KeyChangeBegun(Box<BegunKeyChange>),
    KeyChangeEnded([u8; 16]),
    EndErasure(DataHash),
    ScheduleErasure {
        data_hash: DataHash,
        at: Option<u64>,
    },
    EndRevocation {
        data_hash: DataHash,
        recipient: Address,
    },
    PrepareKey(ReadableObject),
    PutCheckpoint(AnchoredCheckpoint),
    RemoveCheckpoint(u64),
    InsertApiKey(ApiKeyRecord),
    RevokeApiKey {
        id: String,
        now: u64,
    },
    AddApiKeyUsage(Vec<(Arc<str>, KeyUsage)>),
    PutPeers(Vec<PeerRecord>),
    RemovePeers(Vec<String>),
    SetOrderTries {
        id: OperationId,
        state: OrderState,
        tries: Tries,
    },
    AddToken(TokenRecord),
    UpdateToken(TokenInfo),
    InsertUser(AuthorizedUser),
    RemoveUser(UserId),
    PutContact(Box<Contact>),
    RemoveContact(ContactName),
    ForgetMandates(u64),
    ListItem {
        item: Box<InboxItem>,
        terms: Vec<Term>,
    },
    AdvanceItem {
        object: ObjectId,
        state: ItemState,
        now: u64,
    },
    ExpireItems(u64),
    NoteArrivals(Vec<Arrival>),
    RelistShares {
        data_hash: DataHash,
        listing: Box<ShareListing>,
    },
    NoteNotified {
        told: Vec<(Locator, Address)>,
        now: u64,
    },
    SettleArrival(Arrival),
    KeepDelivery(Box<Delivery>),
    AppendNews(Vec<News>),
    PruneJournal {
        before: u64,
        keep: u64,
    },
    InsertSubscription(Box<Subscription>),
    SetSubscriptionState {
        id: SubscriptionId,
        state: SubscriptionState,
    },
    SetProgress {
        id: SubscriptionId,
        from: u64,
        progress: Progress,
        given_up: Option<DeadLetter>,
    },
    Rewind {
        id: SubscriptionId,
        read_to: u64,
    },
    RemoveSubscription(SubscriptionId),
    InsertUpload(Box<UploadRecord>),
    AdvanceUpload {
        id: UploadId,
        received: Received,
    },
    RefuseUpload(UploadId),
    CloseUpload {
        id: UploadId,
        data_hash: DataHash,
    },
    NoteUploadShares {
        id: UploadId,
        data_hash: DataHash,
        recipients: Vec<Address>,
    },
    RemoveUpload(UploadId),
    NoteInstance(Box<Instance>),
    RemoveInstance(InstanceId),
    ChangeEntries(Box<EntryChanges>),
}

impl From<BulkChange> for Change {
    fn from(change: BulkChange) -> Self {
        Self::Bulk(change)
    }
}

impl From<OrderedChange> for Change {
    fn from(change: OrderedChange) -> Self {
        Self::Ordered(change)
    }
}

impl From<SingleChange> for Change {
    fn from(change: SingleChange) -> Self {
        Self::Single(change)
    }
}

impl Change {
    /// What is to be made, whoever may do it.
    pub(super) fn unfenced(&self) -> &Self {
        match self {
            Self::Fenced(_, change) => change.unfenced(),
            change => change,
        }
    }

    /// Whether this begins something new, which is refused where the disk is
    /// nearly full. What goes on with, ends or erases something may use the rest.
    pub(super) fn needs_space(&self) -> bool {
        if let Self::Single(SingleChange::ChangeEntries(changes)) = self.unfenced() {
            return changes.need_space();
        }
        matches!(
            self.unfenced(),
            Self::Bulk(BulkChange::CommitShare(_) | BulkChange::PutReadable(_) | BulkChange::InsertOrder(_))
                | Self::Single(
                    SingleChange::InsertApiKey(_)
                        | SingleChange::AddToken(_)
                        | SingleChange::InsertUser(_)
                        | SingleChange::PutContact(_)
                        | SingleChange::PutPeers(_)
                        | SingleChange::InsertSubscription(_)
                        | SingleChange::InsertUpload(_)
                        | SingleChange::AdvanceUpload { .. }
                        | SingleChange::ListItem { .. }
                        | SingleChange::NoteArrivals(_)
                        | SingleChange::KeepDelivery(_)
                )
        )
    }

    /// Whether this ends the erasure of data, of whose key no file may speak then.
    pub(super) fn ends_erasure(&self) -> bool {
        matches!(self.unfenced(), Self::Single(SingleChange::EndErasure(_)))
    }
}

/// What came of a change that the database could make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is made.
    Done,
    /// What became of a share.
    Share(ShareInsert),
    /// What became of an order.
    Order(OrderInsert),
    /// What became of a version of the node's key.
    Retirement(Retirement),
    /// Whether there was what was to be changed.
    Existed(bool),
    /// How many there were.
    Count(u64),
    /// What is kept now of the use of API keys.
    Usage(Vec<(Arc<str>, KeyUsage)>),
    /// The epoch that has begun, if one has.
    Lease(Option<Epoch>),
    /// It contradicts what is kept; nothing was changed.
    Refused(String),
    /// What must hold for it does not; nothing was changed.
    Fenced(Fence),
}
