//! The object exchange protocol, `/datamgmt/objects/1`, as it is on the wire.
//!
//! A stream carries requests, one after the other. A message is two bytes of
//! length (big-endian, at most 1024) and that many bytes of
//! postcard; the bytes of envelopes, names and chunks follow the message that
//! says how many they are.

mod counted;
mod framing;
mod hints;
mod message;

use libp2p::StreamProtocol;

pub(crate) use framing::{Wire, WireError};
pub(crate) use hints::{Hint, MAX_HINT_BYTES, MAX_HINTS, decode_hints, encode_hints};
pub(crate) use message::{
    MAX_ENVELOPES, MAX_KNOWN, MAX_NAMES_PER_PIECE, MAX_RUN, OfferAnswer, Refusal, Reply, Request,
    decode_names, encode_names,
};

/// Name of the protocol.
pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/datamgmt/objects/1");
