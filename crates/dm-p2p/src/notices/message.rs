use bytes::Bytes;
use dm_core::{
    Address,
    acknowledgement::Acknowledgement,
    envelope::ObjectId,
    letter::Letter,
    notice::Notice,
    signed::{Signed, Statement, StatementError},
};
use libp2p::StreamProtocol;
use serde::{Deserialize, Serialize};

use crate::wire::{Message, Version};

/// The protocol of notices in its versions, the newest first. The second one carries
/// acknowledgements as well, the third one several letters in one request.
pub(crate) const PROTOCOLS: [(Version, StreamProtocol); 3] = [
    (Version::Three, StreamProtocol::new("/datamgmt/notices/3")),
    (Version::Two, StreamProtocol::new("/datamgmt/notices/2")),
    (Version::One, StreamProtocol::new("/datamgmt/notices/1")),
];
/// Letters in one page.
pub(crate) const MAX_PAGE: usize = 64;
/// Letters that are brought in one request.
pub(crate) const MAX_TOGETHER: usize = 64;

/// What a peer may ask about notices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum NoticeRequest {
    /// Gives the notice that follows to its recipient, or keeps it; answered by
    /// [`NoticeReply::Delivered`], [`NoticeReply::Kept`] or [`NoticeReply::Refused`].
    Put {
        /// Bytes of the notice.
        len: u32,
    },
    /// Asks for notices that wait for the account of the address record that follows. It
    /// must name the peer that asks. Then addresses of 20 bytes follow: senders and owners
    /// whose notices come first. Answered by [`NoticeReply::Letters`], in version 1 by
    /// [`NoticeReply::Page`], or by [`NoticeReply::Refused`].
    Collect {
        /// Bytes of the address record.
        record_len: u32,
        /// How many addresses follow.
        named: u32,
        /// The last notice of the page before. Such a page has none of named senders first.
        after: Option<Place>,
    },
    /// Since version 2. Gives the acknowledgement that follows to its owner, or keeps it;
    /// answered as [`NoticeRequest::Put`] is.
    PutAcknowledgement {
        /// Bytes of the acknowledgement.
        len: u32,
    },
    /// Since version 3. Gives the letters that follow to their addressees, or keeps them, each
    /// as if it came alone; answered by [`NoticeReply::Outcomes`].
    PutAll {
        /// Kind and bytes of each, at most [`MAX_TOGETHER`].
        letters: Vec<(LetterKind, u16)>,
    },
}

/// What a letter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum LetterKind {
    Notice,
    Acknowledgement,
}

impl LetterKind {
    pub(crate) fn of(letter: &Letter) -> Self {
        match letter {
            Letter::Notice(_) => Self::Notice,
            Letter::Acknowledgement(_) => Self::Acknowledgement,
        }
    }

    /// The first version of the protocol that carries it.
    pub(crate) const fn since(self) -> Version {
        match self {
            Self::Notice => Version::One,
            Self::Acknowledgement => Version::Two,
        }
    }

    /// Most bytes of such a letter.
    pub(crate) const fn max_bytes(self) -> usize {
        match self {
            Self::Notice => Notice::MAX_BYTES,
            Self::Acknowledgement => Acknowledgement::MAX_BYTES,
        }
    }

    /// The letter in bytes that came from anywhere; its signature is checked.
    pub(crate) fn verify(self, bytes: Bytes) -> Result<Letter, StatementError> {
        Ok(match self {
            Self::Notice => Signed::<Notice>::verify(bytes)?.into(),
            Self::Acknowledgement => Signed::<Acknowledgement>::verify(bytes)?.into(),
        })
    }

    /// The letter in bytes that this node has checked before.
    pub(crate) fn read_trusted(self, bytes: Bytes) -> Result<Letter, StatementError> {
        Ok(match self {
            Self::Notice => Signed::<Notice>::from_trusted(bytes)?.into(),
            Self::Acknowledgement => Signed::<Acknowledgement>::from_trusted(bytes)?.into(),
        })
    }
}

/// The sender of a letter and the object that it is about: there is one of each.
pub(crate) type Place = (Address, ObjectId);

/// What a peer answers about notices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum NoticeReply {
    /// The recipient has the notice.
    Delivered,
    /// The notice is kept for the recipient.
    Kept,
    /// It is not taken, or nothing is given out.
    Refused(NoticeRefusal),
    /// Notices of these lengths follow, at most [`MAX_PAGE`].
    Page {
        /// Bytes of each.
        lengths: Vec<u16>,
        /// Where the next page begins, if there is more.
        next: Option<Place>,
    },
    /// The request, or what came with it, is of a later version than this node knows.
    Unsupported,
    /// Since version 2. Letters of these kinds and lengths follow, at most [`MAX_PAGE`].
    Letters {
        /// Kind and bytes of each.
        letters: Vec<(LetterKind, u16)>,
        /// Where the next page begins, if there is more.
        next: Option<Place>,
    },
    /// Since version 3. What has become of letters that were brought together.
    Outcomes {
        /// Of each, in their order.
        outcomes: Vec<Outcome>,
    },
}

/// What has become of a letter that was brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// The addressee has it.
    Delivered,
    /// It is kept for the addressee.
    Kept,
    /// It is not taken.
    Refused(NoticeRefusal),
    /// It is of a later version than the node knows.
    Unsupported,
}

impl From<Outcome> for NoticeReply {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Delivered => Self::Delivered,
            Outcome::Kept => Self::Kept,
            Outcome::Refused(refusal) => Self::Refused(refusal),
            Outcome::Unsupported => Self::Unsupported,
        }
    }
}

impl NoticeReply {
    /// What has become of the letter that this answers; `None` where it answers something else.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Delivered => Some(Outcome::Delivered),
            Self::Kept => Some(Outcome::Kept),
            Self::Refused(refusal) => Some(Outcome::Refused(*refusal)),
            Self::Unsupported => Some(Outcome::Unsupported),
            Self::Page { .. } | Self::Letters { .. } | Self::Outcomes { .. } => None,
        }
    }
}

/// Why a notice is not taken, or nothing given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum NoticeRefusal {
    /// It has ended, or is from the future.
    NotCurrent,
    /// There is no room for it.
    Full,
    /// A signature does not hold, or it is not the peer's to ask.
    Invalid,
    /// The store failed.
    Failed,
}

impl Message for NoticeRequest {
    fn kinds(version: Version) -> u32 {
        match version {
            Version::One => 2,
            Version::Two => 3,
            Version::Three | Version::Four => 4,
        }
    }
}

impl Message for NoticeReply {
    fn kinds(version: Version) -> u32 {
        match version {
            Version::One => 5,
            Version::Two => 6,
            Version::Three | Version::Four => 7,
        }
    }

    fn is_unsupported(&self) -> bool {
        matches!(self, Self::Unsupported)
    }
}
