use dm_core::{Address, envelope::ObjectId};
use libp2p::StreamProtocol;
use serde::{Deserialize, Serialize};

use crate::wire::{Message, Version};

/// The protocol of notices. It has one version so far.
pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/datamgmt/notices/1");
/// Notices in one page.
pub(crate) const MAX_PAGE: usize = 64;

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
    /// whose notices come first. Answered by [`NoticeReply::Page`] or
    /// [`NoticeReply::Refused`].
    Collect {
        /// Bytes of the address record.
        record_len: u32,
        /// How many addresses follow.
        named: u32,
        /// The last notice of the page before. Such a page has none of named senders first.
        after: Option<Place>,
    },
}

/// The sender of a notice and the object that it is about: there is one of each.
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
    fn kinds(_: Version) -> u32 {
        2
    }
}

impl Message for NoticeReply {
    fn kinds(_: Version) -> u32 {
        5
    }

    fn is_unsupported(&self) -> bool {
        matches!(self, Self::Unsupported)
    }
}
