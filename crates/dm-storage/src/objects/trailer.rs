//! What stands behind the chunks of a body: the signed envelope that the object was stored
//! with, its length and a magic number; see `layout`.

use bytes::Bytes;
use dm_core::{
    envelope::{Envelope, SignedEnvelope},
    signed::Statement,
};

use super::layout::{MAGIC, TRAILER_LEN, chunk_offset};

/// The trailer of the body of an object.
pub(crate) fn trailer(envelope: &SignedEnvelope) -> Bytes {
    let mut trailer = envelope.bytes().to_vec();
    trailer.extend_from_slice(&(envelope.bytes().len() as u32).to_le_bytes());
    trailer.extend_from_slice(&MAGIC);
    trailer.into()
}

/// Bytes of the envelope, by the fixed part of a trailer that begins at `fixed_at`; `None`
/// where that is none.
pub(crate) fn envelope_len(fixed: [u8; TRAILER_LEN as usize], fixed_at: u64) -> Option<u64> {
    let [l0, l1, l2, l3, magic @ ..] = fixed;
    let len = u64::from(u32::from_le_bytes([l0, l1, l2, l3]));
    let is_trailer = magic == MAGIC && len <= Envelope::MAX_BYTES as u64 && len <= fixed_at;
    is_trailer.then_some(len)
}

/// The envelope in a trailer, its signature checked; `None` where the chunks of such an
/// object do not end where the envelope begins.
pub(crate) fn stored_envelope(bytes: Bytes, begins_at: u64) -> Option<SignedEnvelope> {
    let envelope = SignedEnvelope::verify(bytes).ok()?;
    let last = envelope.chunk_count().checked_sub(1)?;
    let chunks_end = chunk_offset(last) + envelope.chunk_len(last);
    (chunks_end == begins_at).then_some(envelope)
}
