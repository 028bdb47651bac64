//! The object exchange protocol, `/datamgmt/objects/N`, as it is on the wire.
//!
//! Two nodes talk in the newest [`Version`] that both know. A message that is in no
//! version that this node knows is not understood: nobody is blamed for it.
//!
//! A stream carries requests, one after the other. A message is two bytes of
//! length (big-endian, at most 1024) and that many bytes of
//! postcard, from version 4 on in a request perhaps with the 25 bytes of a
//! [`TraceContext`](dm_core::span::TraceContext) behind it; the bytes of envelopes, names and chunks follow the message that
//! says how many they are.

mod counted;
mod framing;
mod hints;
mod message;
mod version;

pub(crate) use framing::{Wire, WireError};
pub(crate) use hints::{Hint, MAX_HINT_BYTES, MAX_HINTS, decode_hints, encode_hints};
pub(crate) use message::{
    MAX_ANNOUNCED, MAX_ENVELOPES, MAX_KNOWN, MAX_NAMES_PER_PIECE, MAX_OWNERS_NAMED, MAX_RUN, Message,
    OfferAnswer, Refusal, Reply, Request, decode_locators, decode_names, encode_locators, encode_names,
};
pub(crate) use version::Version;
