use bytes::{Bytes, BytesMut};
use dm_core::{
    Address,
    envelope::ObjectId,
    hash::{ChunkName, Locator},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::Version;

/// Envelopes in one answer: one for each owner.
pub(crate) const MAX_ENVELOPES: usize = 16;
/// Names that are sent in one piece: 256 KiB.
pub(crate) const MAX_NAMES_PER_PIECE: u32 = 8192;
/// Holders that a challenge tells of.
pub(crate) const MAX_KNOWN: usize = 12;
/// Chunks that may be asked for at once.
pub(crate) const MAX_RUN: u32 = 16;

/// Owners whose objects may be asked for by name at once.
pub(crate) const MAX_OWNERS_NAMED: usize = 8;
/// Locators in one announcement: 32,000 bytes.
pub(crate) const MAX_ANNOUNCED: usize = 1000;

/// What is sent on a stream of the protocol.
pub(crate) trait Message: Serialize + DeserializeOwned {
    /// The first version in which a message may say to which trace it belongs; `None` where it
    /// never does.
    const TRACED_SINCE: Option<Version> = None;

    /// How many kinds of the message there are in a version: the first ones of the
    /// enum. A kind that a later version adds is put at its end.
    fn kinds(version: Version) -> u32;

    /// Whether the peer says that it knows only earlier versions than the one of the request.
    fn is_unsupported(&self) -> bool {
        false
    }

    /// Whether the version has the kind with this number.
    fn is_known(kind: u32, version: Version) -> bool {
        kind < Self::kinds(version)
    }
}

/// What a peer may ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Request {
    /// The envelopes of all owners under a locator; answered by [`Reply::Envelopes`].
    Envelopes {
        /// Where the objects are.
        locator: Locator,
    },
    /// Chunk names of an object, at most [`MAX_NAMES_PER_PIECE`]; answered by
    /// [`Reply::Names`] or [`Reply::Missing`].
    Names {
        /// Which object.
        id: ObjectId,
        /// Index of the first.
        first: u64,
        /// How many.
        count: u32,
    },
    /// Chunks of an object, at most [`MAX_RUN`]; answered by that many
    /// [`Reply::Chunk`], or fewer and a [`Reply::Missing`].
    Chunks {
        /// Which object.
        id: ObjectId,
        /// Index of the first.
        first: u64,
        /// How many.
        count: u32,
    },
    /// Asks to keep the object of the envelope that follows; answered by
    /// [`Reply::OfferAnswer`]. After [`OfferAnswer::Wanted`] all names follow in
    /// pieces, then each chunk after a [`Reply::Chunk`], and then a second
    /// [`Reply::OfferAnswer`] is the answer.
    Offer {
        /// Bytes of the envelope.
        envelope_len: u32,
    },
    /// Asks for peers that the peer knows; answered by [`Reply::Peers`].
    Peers,
    /// Asks for a proof that the peer holds the object over these chunks;
    /// answered by [`Reply::Proof`] or [`Reply::Missing`].
    Prove {
        /// Which object.
        id: ObjectId,
        /// Digest of its chunk names.
        chunk_list: [u8; 32],
        /// Decides which bytes are asked for.
        nonce: [u8; 32],
        /// Further holders, at most [`MAX_KNOWN`] peer ids.
        known: Vec<Vec<u8>>,
    },
    /// Since version 2. The envelopes under a locator: first those of some owners, then
    /// others in the order of their addresses; answered by [`Reply::EnvelopePage`].
    FindEnvelopes {
        /// Where the objects are.
        locator: Locator,
        /// Whose envelopes come first, at most [`MAX_OWNERS_NAMED`].
        owners: Vec<Address>,
        /// The last owner of the page before. Such a page has nobody's envelope first.
        after: Option<Address>,
    },
    /// Since version 2. The peer provides what is under the locators that follow;
    /// answered by [`Reply::Announced`].
    Announce {
        /// How many, at most [`MAX_ANNOUNCED`], of 32 bytes each.
        count: u32,
    },
}

impl Request {
    /// What the request is in a trace.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Envelopes { .. } | Self::FindEnvelopes { .. } => "peer.find",
            Self::Names { .. } => "peer.names",
            Self::Chunks { .. } => "peer.chunks",
            Self::Offer { .. } => "peer.offer",
            Self::Peers => "peer.peers",
            Self::Prove { .. } => "peer.prove",
            Self::Announce { .. } => "peer.announce",
        }
    }
}

impl Message for Request {
    const TRACED_SINCE: Option<Version> = Some(Version::Four);

    fn kinds(version: Version) -> u32 {
        match version {
            Version::One => 6,
            Version::Two | Version::Three | Version::Four => 8,
        }
    }
}

/// What a peer answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// Envelopes of these lengths follow, at most [`MAX_ENVELOPES`].
    Envelopes {
        /// Bytes of each.
        lengths: Vec<u32>,
    },
    /// This many names of 32 bytes follow.
    Names {
        /// How many.
        count: u32,
    },
    /// A chunk of this length follows.
    Chunk {
        /// Its bytes.
        len: u32,
    },
    /// The object, or the rest of it, is not here.
    Missing,
    /// What becomes of an offer.
    OfferAnswer(OfferAnswer),
    /// Peers follow, at most 32 of them in at most 16 KiB.
    Peers {
        /// Bytes of the list.
        len: u32,
    },
    /// A proof that the object is held.
    Proof {
        /// Over the bytes that were asked for.
        digest: [u8; 32],
        /// Sequence number of the envelope that is held.
        sequence: u64,
    },
    /// Since version 2. Envelopes of these lengths follow, at most [`MAX_ENVELOPES`].
    EnvelopePage {
        /// Bytes of each.
        lengths: Vec<u32>,
        /// Where the next page begins, if there is more.
        next: Option<Address>,
    },
    /// Since version 2. The announcement was read.
    Announced {
        /// How many provider records of it are kept.
        kept: u32,
    },
    /// Since version 2. The request, or what came with it, is of a later version than
    /// this node knows; the stream ends.
    Unsupported,
    /// Since version 3. The object of an offer is wanted, and a part of it may be here:
    /// after its names [`Reply::WantedFrom`] comes.
    Resumes,
    /// Since version 3. The chunks before this one are here already.
    WantedFrom {
        /// Index of the first chunk to send.
        first: u64,
    },
}

impl Message for Reply {
    fn kinds(version: Version) -> u32 {
        match version {
            Version::One => 7,
            Version::Two => 10,
            Version::Three | Version::Four => 12,
        }
    }

    fn is_unsupported(&self) -> bool {
        matches!(self, Self::Unsupported)
    }
}

/// What becomes of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum OfferAnswer {
    /// This envelope is held already, chunks and all, or is now.
    Held,
    /// The chunks are wanted.
    Wanted,
    /// The object is not taken.
    Refused(Refusal),
}

/// Why an object is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Refusal {
    /// A newer envelope is held.
    Stale,
    /// Larger than this node keeps for others.
    TooLarge,
    /// No space left for others.
    Full,
    /// Too much to do; later perhaps.
    Busy,
    /// The envelope, the names or the chunks are wrong.
    Invalid,
    /// The store failed.
    Failed,
}

/// The bytes of locators in their order.
pub(crate) fn encode_locators(locators: &[Locator]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(locators.len() * 32);
    for locator in locators {
        bytes.extend_from_slice(locator.as_bytes());
    }
    bytes.freeze()
}

/// The locators that the bytes are; a last part of fewer than 32 bytes is none.
pub(crate) fn decode_locators(bytes: &[u8]) -> impl Iterator<Item = Locator> + '_ {
    let locators = bytes.as_chunks::<32>().0.iter();
    locators.map(|locator| Locator::from_bytes(*locator))
}

/// The bytes of names in their order.
pub(crate) fn encode_names(names: &[ChunkName]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(names.len() * 32);
    for name in names {
        bytes.extend_from_slice(name.as_bytes());
    }
    bytes.freeze()
}

/// The names that the bytes are; a last part of fewer than 32 bytes is none.
pub(crate) fn decode_names(bytes: &[u8]) -> impl Iterator<Item = ChunkName> + '_ {
    bytes
        .as_chunks::<32>()
        .0
        .iter()
        .map(|name| ChunkName::from_bytes(*name))
}
