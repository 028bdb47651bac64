use bytes::{Bytes, BytesMut};
use dm_core::{
    envelope::ObjectId,
    hash::{ChunkName, Locator},
};
use serde::{Deserialize, Serialize};

/// Envelopes in one answer: one for each owner.
pub(crate) const MAX_ENVELOPES: usize = 16;
/// Names that are sent in one piece: 256 KiB.
pub(crate) const MAX_NAMES_PER_PIECE: u32 = 8192;
/// Holders that a challenge tells of.
pub(crate) const MAX_KNOWN: usize = 12;
/// Chunks that may be asked for at once.
pub(crate) const MAX_RUN: u32 = 16;

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
