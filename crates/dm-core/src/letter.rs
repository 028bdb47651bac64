//! Letters: small signed statements that are brought to an account, also through others when
//! it is away.

use alloy_primitives::Address;
use bytes::Bytes;

use crate::{
    acknowledgement::{Acknowledgement, SignedAcknowledgement},
    envelope::ObjectId,
    notice::{Notice, SignedNotice},
    signed::Statement,
};

/// Most bytes of a letter, its signature included.
pub const MAX_LETTER: usize = if Notice::MAX_BYTES > Acknowledgement::MAX_BYTES {
    Notice::MAX_BYTES
} else {
    Acknowledgement::MAX_BYTES
};

/// A statement for an account, which its writer has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Letter {
    /// To a recipient: something was shared with it.
    Notice(SignedNotice),
    /// To an owner: a recipient has read its data.
    Acknowledgement(SignedAcknowledgement),
}

impl Letter {
    /// For whom it is.
    pub fn addressee(&self) -> Address {
        match self {
            Self::Notice(notice) => notice.recipient,
            Self::Acknowledgement(statement) => statement.object.owner,
        }
    }

    /// Who has signed it.
    pub fn sender(&self) -> Address {
        match self {
            Self::Notice(notice) => notice.sender,
            Self::Acknowledgement(statement) => statement.recipient,
        }
    }

    /// Which object it is about.
    pub fn object(&self) -> ObjectId {
        match self {
            Self::Notice(notice) => notice.object,
            Self::Acknowledgement(statement) => statement.object,
        }
    }

    /// Sequence number of the envelope that it is about.
    pub fn sequence(&self) -> u64 {
        match self {
            Self::Notice(notice) => notice.sequence,
            Self::Acknowledgement(statement) => statement.sequence,
        }
    }

    /// When it was made, in milliseconds since the Unix epoch.
    pub fn made_at(&self) -> u64 {
        match self {
            Self::Notice(notice) => notice.made_at,
            Self::Acknowledgement(statement) => statement.made_at,
        }
    }

    /// When nobody needs to bring or keep it any more, in milliseconds since the Unix epoch.
    pub fn ends_at(&self) -> u64 {
        match self {
            Self::Notice(notice) => notice.ends_at,
            Self::Acknowledgement(statement) => statement.ends_at(),
        }
    }

    /// Whether it has not ended at `now`, and is not from the future.
    pub fn is_current(&self, now: u64) -> bool {
        match self {
            Self::Notice(notice) => notice.is_current(now),
            Self::Acknowledgement(statement) => statement.is_current(now),
        }
    }

    /// The form in which it is stored and sent.
    pub fn bytes(&self) -> &Bytes {
        match self {
            Self::Notice(notice) => notice.bytes(),
            Self::Acknowledgement(statement) => statement.bytes(),
        }
    }
}

impl From<SignedNotice> for Letter {
    fn from(notice: SignedNotice) -> Self {
        Self::Notice(notice)
    }
}

impl From<SignedAcknowledgement> for Letter {
    fn from(statement: SignedAcknowledgement) -> Self {
        Self::Acknowledgement(statement)
    }
}
