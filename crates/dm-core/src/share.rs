//! Shares: what a client asks for, what is kept of it, and what it is told.

use std::sync::Arc;

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use crate::{
    descriptor::Description,
    envelope::ObjectId,
    event::EventKind,
    hash::DataHash,
    idempotency::IdempotencyKey,
    mandate::{KeptMandate, Mandate, VerifiedMandate},
    payment::{PaymentReceipt, PaymentTerms},
    sent::ShareListing,
    span::TraceContext,
    upload::UploadId,
};

/// What is asked of the node when data is shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareTerms {
    /// Who shall be able to read.
    pub recipient: Address,
    /// All recipients of the request, this one among them, where it names several: they
    /// share its idempotency key.
    pub among: Option<Arc<[Address]>>,
    /// Makes repetitions of the request harmless.
    pub idempotency_key: Option<IdempotencyKey>,
    /// What the recipient pays for it.
    pub payment: Option<PaymentTerms>,
    /// The authorised user's statement that orders it, if one does.
    pub mandate: Option<Box<VerifiedMandate>>,
    /// When the data shall be erased everywhere, in milliseconds since the Unix
    /// epoch. Where it was shared before, the longest time counts, and no time is
    /// the longest.
    pub expires_at: Option<u64>,
    /// What is said of the data to all its readers, in place of what was said before;
    /// `None` leaves that as it is.
    pub description: Option<Box<Description>>,
}

impl ShareTerms {
    /// A share with this recipient that costs nothing.
    pub const fn with(recipient: Address) -> Self {
        Self {
            recipient,
            among: None,
            idempotency_key: None,
            payment: None,
            mandate: None,
            expires_at: None,
            description: None,
        }
    }

    /// The terms of each share that a request with several recipients asks for.
    pub fn for_each(self, recipients: &[Address]) -> Vec<Self> {
        let among: Arc<[Address]> = recipients.into();
        let of = |recipient: &Address| Self {
            recipient: *recipient,
            among: Some(among.clone()),
            ..self.clone()
        };
        recipients.iter().map(of).collect()
    }
}

/// A share as the catalog keeps it. (Data hash, recipient) is unique.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareRecord {
    /// What was shared.
    pub data_hash: DataHash,
    /// With whom.
    pub recipient: Address,
    /// The client's key for the request, if it sent one.
    pub idempotency_key: Option<IdempotencyKey>,
    /// When it was accepted, in milliseconds since the Unix epoch.
    pub created_at: u64,
    /// Who ordered it, if somebody did; known at least until the share is recorded.
    pub mandate: Option<Box<KeptMandate>>,
    /// What its event says: [`EventKind::DataShare`], or [`EventKind::Grant`] for a
    /// further reader of stored data.
    pub kind: EventKind,
    /// Digest of everything that was asked for, so that an idempotency key accepts
    /// the same request only; `None` for a share of an earlier version.
    pub request: Option<B256>,
    /// The end that the share asked for, in milliseconds since the Unix epoch; `None`:
    /// never. The object's envelope counts, into which it goes with the grant.
    pub expires_at: Option<u64>,
}

impl ShareRecord {
    /// A share that was accepted at `created_at` (milliseconds since the Unix epoch)
    /// and asks for nothing but that the recipient can read.
    pub fn new(data_hash: DataHash, recipient: Address, created_at: u64) -> Self {
        Self {
            data_hash,
            recipient,
            idempotency_key: None,
            created_at,
            mandate: None,
            kind: EventKind::DataShare,
            request: None,
            expires_at: None,
        }
    }

    /// What the share's event says of who ordered it.
    pub fn event_mandate(&self) -> Option<Box<Mandate>> {
        self.mandate.as_ref().map(|kept| Box::new(kept.mandate.clone()))
    }
}

/// The content key of an object, wrapped by a version of the node's own key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrappedKey {
    /// Which version of the node's Fernet key wraps it.
    pub version: u32,
    /// The Fernet token, in its text form.
    pub token: String,
}

/// An object that this node can read: its own, or one whose plaintext it has
/// checked against the data hash once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadableObject {
    /// The name by which clients ask.
    pub data_hash: DataHash,
    /// Which object holds the data.
    pub id: ObjectId,
    /// Plaintext bytes.
    pub size: u64,
    /// The chunks whose plaintext has been checked: see
    /// [`Envelope::chunk_list`](crate::envelope::Envelope::chunk_list).
    pub chunk_list: [u8; 32],
    /// The content key.
    pub key: WrappedKey,
}

/// A share that is to come into being, with everything that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewShare {
    /// The share itself.
    pub record: ShareRecord,
    /// The object with the data, where it was stored for this share.
    pub object: Option<ReadableObject>,
    /// Whether the recipient's grant is not in the envelope yet.
    pub grant_owed: bool,
    /// What it is listed with.
    pub listing: Option<ShareListing>,
    /// The upload whose data it shares. The same transaction notes the share with it.
    pub upload: Option<UploadId>,
    /// The trace of the request, where it is recorded: the news of the share belong to it.
    pub trace: Option<TraceContext>,
}

/// A further share of stored data, whose recipient has its grant.
impl From<ShareRecord> for NewShare {
    fn from(record: ShareRecord) -> Self {
        Self {
            record,
            object: None,
            grant_owed: false,
            listing: None,
            upload: None,
            trace: None,
        }
    }
}

/// How far a share has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShareStatus {
    /// Stored; its event or its anchor is still to come.
    Pending,
    /// Its anchor is on the chain.
    Anchored,
}

impl ShareStatus {
    /// That of an event with this anchor's transaction.
    pub fn of(anchor: Option<&B256>) -> Self {
        match anchor {
            Some(_) => Self::Anchored,
            None => Self::Pending,
        }
    }
}

/// What the client learns of its share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareOutcome {
    /// The name of what was shared.
    pub data_hash: DataHash,
    /// With whom.
    pub recipient: Address,
    /// How far it has come.
    pub status: ShareStatus,
    /// The anchor's transaction, once there is one.
    pub tx_hash: Option<B256>,
    /// Position of the share's event in the log: the receipt's id. `None` while the
    /// log takes no event: it is recorded later.
    pub leaf_index: Option<u64>,
    /// Peers that are known to hold a copy.
    pub replicas: u32,
    /// Whether the recipient's key was unknown, so that the grant is made
    /// when it appears.
    pub grant_pending: bool,
    /// What the recipient paid for it.
    pub payment: Option<PaymentReceipt>,
    /// When the data is erased, in milliseconds since the Unix epoch.
    pub expires_at: Option<u64>,
}
