//! Where the shares of this node stand.

use std::collections::BTreeSet;

use alloy_primitives::Address;
use bytes::Bytes;

use crate::{hash::DataHash, inbox::Term, named_enum::named_enum, ports::ErasureCause};

named_enum! {
    /// How far a share has come at its recipient, or how it has ended.
    pub enum SentState {
        /// It was made; its recipient has not been told yet.
        Shared = "shared",
        /// A peer of the recipient has taken the notice of it.
        Notified = "notified",
        /// The recipient has said that it has read and checked the data.
        Acknowledged = "acknowledged",
        /// The recipient's access was withdrawn.
        Revoked = "revoked",
        /// The data was erased.
        Erased = "erased",
        /// The time of the data is over.
        Expired = "expired",
    }
    /// No state of a share.
    pub struct UnknownSentState("must be some of the states of a share");
}

impl SentState {
    /// Whether the share is over.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Revoked | Self::Erased | Self::Expired)
    }

    /// Whether a share goes on from this state to the other one: forward while it lasts, to
    /// an end at any time, and from an end nowhere.
    pub fn leads_to(self, next: Self) -> bool {
        !self.is_over() && next > self
    }

    /// How a share ends whose data is erased.
    pub const fn of_erasure(cause: ErasureCause) -> Self {
        match cause {
            ErasureCause::Ordered => Self::Erased,
            ErasureCause::Expired => Self::Expired,
        }
    }
}

/// What a share is listed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareListing {
    /// What is said of the data, sealed for this node alone.
    pub descriptor: Bytes,
    /// What it is found by.
    pub terms: Vec<Term>,
}

/// A share of this node, and what the catalog knows of where it stands. It outlives the share
/// itself, which is forgotten with the recipient's access or with the data. Times are
/// milliseconds since the Unix epoch; what earlier versions did not keep is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentShare {
    /// What was shared.
    pub data_hash: DataHash,
    /// With whom.
    pub recipient: Address,
    /// What is said of the data, sealed for this node alone.
    pub descriptor: Option<Bytes>,
    /// How far it has come.
    pub state: SentState,
    /// When it was accepted and durable.
    pub created_at: u64,
    /// Plaintext bytes, while the share lasts.
    pub size: Option<u64>,
    /// Peers that are known to hold a copy.
    pub replicas: u32,
    /// Whether the recipient's grant is still to be made.
    pub grant_pending: bool,
    /// When the recipient's grant was made.
    pub granted_at: Option<u64>,
    /// Position of its event in the log: the receipt's id.
    pub leaf_index: Option<u64>,
    /// When its event was recorded.
    pub recorded_at: Option<u64>,
    /// When a peer of the recipient took the notice.
    pub notified_at: Option<u64>,
    /// When the recipient had read and checked the data, as it says.
    pub fetched_at: Option<u64>,
    /// When the recipient said so.
    pub acknowledged_at: Option<u64>,
    /// Position of the event of the delivery in the log.
    pub delivery_index: Option<u64>,
    /// When it ended.
    pub ended_at: Option<u64>,
    /// When the data is to be erased.
    pub expires_at: Option<u64>,
    /// Whether there was a payment for it.
    pub has_payment: bool,
}

/// Which shares a page has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SentQuery {
    /// Those with this recipient.
    pub recipient: Option<Address>,
    /// Those that have all of these.
    pub terms: Vec<Term>,
    /// Those in one of these states; none stands for all.
    pub states: BTreeSet<SentState>,
    /// Those that were made before the one with this number.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: usize,
}
