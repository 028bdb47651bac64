//! Acknowledgements: how a recipient says that it has read and checked data, so that its owner
//! can prove the delivery.

use alloy_primitives::Address;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    clock::MAX_AHEAD_MS,
    envelope::ObjectId,
    event::{Event, EventKind},
    hash::DataHash,
    signed::{Signed, Statement, StatementError},
};

/// Domain prefix of a commitment's preimage.
const COMMITMENT_DOMAIN: &[u8] = b"datamgmt/acknowledgement-commitment/1";
/// How long an acknowledgement is brought to its owner, in milliseconds: 30 days.
const LIFE: u64 = 30 * 24 * 60 * 60 * 1000;

/// A statement of the recipient: it has read data that was shared with it, and the data has
/// the hash by which it was asked for.
///
/// Peers that carry it learn the locator, which they know, and not the data hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// The node account that has read the data, and has signed.
    pub recipient: Address,
    /// Which object it has read.
    pub object: ObjectId,
    /// SHA-256(domain ‖ recipient ‖ data hash): who knows only the locator cannot make it,
    /// and nobody can use that of another recipient.
    pub commitment: [u8; 32],
    /// Sequence number of the envelope that it has read.
    pub sequence: u64,
    /// When it had first read and checked the data, in milliseconds since the Unix epoch.
    pub fetched_at: u64,
    /// When it made this statement, in milliseconds since the Unix epoch.
    pub made_at: u64,
}

/// An acknowledgement that its recipient has signed.
pub type SignedAcknowledgement = Signed<Acknowledgement>;

impl Acknowledgement {
    /// The commitment of a recipient to data.
    pub fn commitment_to(data_hash: &DataHash, recipient: Address) -> [u8; 32] {
        Sha256::new()
            .chain_update(COMMITMENT_DOMAIN)
            .chain_update(recipient)
            .chain_update(data_hash.as_bytes())
            .finalize()
            .into()
    }

    /// Whether it speaks of this data.
    pub fn is_of(&self, data_hash: &DataHash) -> bool {
        self.object.locator == data_hash.locator()
            && self.commitment == Self::commitment_to(data_hash, self.recipient)
    }

    /// When nobody needs to bring or keep it any more, in milliseconds since the Unix epoch.
    pub const fn ends_at(&self) -> u64 {
        self.made_at.saturating_add(LIFE)
    }

    /// Whether it is still to be brought at `now`, and not from the future. Clocks may differ
    /// by five minutes.
    pub const fn is_current(&self, now: u64) -> bool {
        self.made_at <= now.saturating_add(MAX_AHEAD_MS) && now < self.ends_at()
    }
}

impl Statement for Acknowledgement {
    const DOMAIN: &'static str = "datamgmt/acknowledgement/1";
    const MAX_BYTES: usize = 512;

    fn signer(&self) -> Address {
        self.recipient
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.recipient == self.object.owner {
            return Err("nobody acknowledges data of its own");
        }
        if self.fetched_at > self.made_at {
            return Err("data is acknowledged after it was fetched");
        }
        Ok(())
    }
}

/// That data has arrived at a recipient, as the catalog keeps it: the owner for each of its
/// recipients, and a recipient for what it has acknowledged itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The data.
    pub data_hash: DataHash,
    /// What the recipient has signed.
    pub statement: SignedAcknowledgement,
    /// Position of its event in this node's log: the receipt's id. `None` until it is recorded.
    pub leaf_index: Option<u64>,
}

impl Delivery {
    /// Whether a statement about this envelope may take its place: it is recorded, and speaks of
    /// an earlier one.
    pub fn makes_way_for(&self, sequence: u64) -> bool {
        self.leaf_index.is_some() && sequence > self.statement.sequence
    }
}

/// Why the statement in an event is not what the event says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceFlaw {
    /// There is none, or it is no text of a statement.
    #[error("the event has no acknowledgement in it")]
    Missing,
    /// The statement does not hold.
    #[error("the acknowledgement in the event does not hold: {0}")]
    Statement(#[from] StatementError),
    /// The statement is about something else than the event.
    #[error("the acknowledgement in the event is {0}")]
    Other(&'static str),
}

impl Event {
    /// The acknowledgement that a `delivery` or an `acknowledgement` is about, checked: signed
    /// by the event's recipient, for its data, and for the log that it stands in. `None` for
    /// events of other kinds.
    ///
    /// # Errors
    /// [`EvidenceFlaw`] says what does not hold.
    pub fn evidence(&self) -> Result<Option<SignedAcknowledgement>, EvidenceFlaw> {
        if !self.event_type.has_evidence() {
            return Ok(None);
        }
        let bytes = self.statement_bytes().ok_or(EvidenceFlaw::Missing)?;
        let statement = SignedAcknowledgement::verify(bytes)?;
        let log_is_of = match self.event_type {
            EventKind::Delivery => statement.object.owner,
            _ => statement.recipient,
        };
        if self.recipient != Some(statement.recipient) {
            Err(EvidenceFlaw::Other("by another recipient"))
        } else if !self
            .data_hash
            .is_some_and(|data_hash| statement.is_of(&data_hash))
        {
            Err(EvidenceFlaw::Other("about other data"))
        } else if self.log != log_is_of {
            Err(EvidenceFlaw::Other("for another log"))
        } else {
            Ok(Some(statement))
        }
    }

    /// The same of an event of this node's own log, whose statement was checked before it was
    /// recorded.
    pub fn trusted_evidence(&self) -> Option<SignedAcknowledgement> {
        let bytes = self.event_type.has_evidence().then(|| self.statement_bytes())?;
        Signed::from_trusted(bytes?).ok()
    }

    fn statement_bytes(&self) -> Option<Bytes> {
        let text = self.details.get(Self::STATEMENT)?;
        hex::decode(text).ok().map(Bytes::from)
    }
}
