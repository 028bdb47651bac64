//! The inbox: what others have shared with this node.

use std::collections::BTreeSet;

use alloy_primitives::Address;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{envelope::ObjectId, hash::DataHash, ports::ErasureCause};

/// That an object has come which is shared with this node, or another version of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrival {
    /// What has come.
    pub object: ObjectId,
    /// The sequence number of its envelope, as far as is known: at least 0.
    pub sequence: u64,
}

/// How far an item of the inbox has come, or how it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemState {
    /// It can be read, and was not yet.
    New,
    /// It was read and checked here.
    Fetched,
    /// Its sender was told that it was read.
    Acknowledged,
    /// Its sender has withdrawn this node's access.
    Revoked,
    /// It was erased, by its sender or here.
    Erased,
    /// Its time is over.
    Expired,
}

impl ItemState {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::New,
        Self::Fetched,
        Self::Acknowledged,
        Self::Revoked,
        Self::Erased,
        Self::Expired,
    ];

    /// Its name in requests and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Fetched => "fetched",
            Self::Acknowledged => "acknowledged",
            Self::Revoked => "revoked",
            Self::Erased => "erased",
            Self::Expired => "expired",
        }
    }

    /// The state with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// How an item ends whose data is erased here.
    pub const fn of_erasure(cause: ErasureCause) -> Self {
        match cause {
            ErasureCause::Ordered => Self::Erased,
            ErasureCause::Expired => Self::Expired,
        }
    }

    /// Whether the item can be read no more.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Revoked | Self::Erased | Self::Expired)
    }

    /// Whether an item goes on from this state to the other one: forward while it can be
    /// read, to an end at any time, and from an end nowhere.
    pub fn leads_to(self, next: Self) -> bool {
        !self.is_over() && next > self
    }
}

/// What an item is found by, as the catalog keeps it: a keyed hash, which tells nothing to
/// whoever does not have the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(pub [u8; 16]);

/// What the catalog keeps of an object that was shared with this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxItem {
    /// The name by which clients ask for the data.
    pub data_hash: DataHash,
    /// Who shared it.
    pub owner: Address,
    /// Plaintext bytes.
    pub size: u64,
    /// What the owner says of it, sealed for this node alone.
    pub descriptor: Bytes,
    /// Of the envelope that says so.
    pub sequence: u64,
    /// When that envelope was made, in milliseconds since the Unix epoch.
    pub shared_at: u64,
    /// When it was listed, in milliseconds since the Unix epoch; later items have the same
    /// time or a later one.
    pub received_at: u64,
    /// When it ends, in milliseconds since the Unix epoch.
    pub expires_at: Option<u64>,
    /// How far it has come.
    pub state: ItemState,
    /// When it was first read and checked here, in milliseconds since the Unix epoch.
    pub fetched_at: Option<u64>,
    /// Whether the share was found on the chain.
    pub anchored: bool,
}

impl InboxItem {
    /// Which object it is.
    pub fn id(&self) -> ObjectId {
        ObjectId {
            locator: self.data_hash.locator(),
            owner: self.owner,
        }
    }
}

/// Which items a page of the inbox has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InboxQuery {
    /// Those that have all of these.
    pub terms: Vec<Term>,
    /// Those in one of these states; none stands for all.
    pub states: BTreeSet<ItemState>,
    /// Those listed at this time or later, in milliseconds since the Unix epoch.
    pub since: Option<u64>,
    /// Those that were listed before the item with this number.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: usize,
}
