//! Where things are in the file of a large object.
//!
//! A file is a row of groups: the names of up to [`GROUP_CHUNKS`] chunks, 32
//! bytes each, in a block of fixed size, then these chunks back to back. All
//! chunks but the last have the same length, so every offset can be computed:
//! a range of names or of chunks is read without reading anything else, and
//! memory stays bounded whatever the size of the object. Unused space in the
//! names block of the last group is a hole that takes no disk space.
//!
//! After the last chunk follows a trailer: the signed envelope that the object
//! was stored with, its length (4 bytes, little-endian) and [`MAGIC`], so that
//! objects can be taken back from their files when the engine's are lost.

use std::ops::Range;

use dm_core::{
    envelope::{CHUNK_SIZE, MAX_CHUNK_BYTES, sealed_len},
    hash::ChunkName,
};

/// Chunks in a group: 128 MiB of plaintext.
pub(crate) const GROUP_CHUNKS: u64 = 512;
/// Bytes of a chunk name.
pub(crate) const NAME_LEN: u64 = 32;
/// Bytes of a group's block of names.
pub(crate) const NAMES_LEN: u64 = GROUP_CHUNKS * NAME_LEN;
/// Ends every complete file.
pub(crate) const MAGIC: [u8; 8] = *b"DMBODY\x001";
/// Bytes of the trailer's fixed part.
pub(crate) const TRAILER_LEN: u64 = 4 + MAGIC.len() as u64;

const CHUNK_LEN: u64 = MAX_CHUNK_BYTES as u64;
const GROUP_LEN: u64 = NAMES_LEN + GROUP_CHUNKS * CHUNK_LEN;

/// Where the name of the chunk at `index` is.
pub(crate) const fn name_offset(index: u64) -> u64 {
    index / GROUP_CHUNKS * GROUP_LEN + index % GROUP_CHUNKS * NAME_LEN
}

/// Where the chunk at `index` is.
pub(crate) const fn chunk_offset(index: u64) -> u64 {
    index / GROUP_CHUNKS * GROUP_LEN + NAMES_LEN + index % GROUP_CHUNKS * CHUNK_LEN
}

/// The runs of these indexes whose names stand together.
pub(crate) fn name_runs(indexes: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let Range { mut start, end } = indexes;
    std::iter::from_fn(move || {
        let group_end = (start / GROUP_CHUNKS + 1) * GROUP_CHUNKS;
        let run = start..group_end.min(end);
        start = run.end;
        (!run.is_empty()).then_some(run)
    })
}

/// The names in a part of a block of names.
pub(crate) fn names_in(block: &[u8]) -> impl Iterator<Item = ChunkName> {
    let (names, _) = block.as_chunks::<{ NAME_LEN as usize }>();
    names.iter().copied().map(ChunkName::from_bytes)
}

/// Bytes of the chunks of an object of `size` plaintext bytes.
pub(crate) const fn sealed_size(size: u64) -> u64 {
    let full = size / CHUNK_SIZE * CHUNK_LEN;
    match size % CHUNK_SIZE {
        0 => full,
        rest => full + sealed_len(rest),
    }
}

#[cfg(test)]
mod tests {
    use dm_testing::objects::SampleObject;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_overlaps(index in 0..1_u64 << 32) {
            let group = index - index % GROUP_CHUNKS;
            prop_assert!(name_offset(index) + NAME_LEN <= chunk_offset(group));
            prop_assert!(name_offset(index) >= name_offset(group));
            let end = chunk_offset(index) + CHUNK_LEN;
            let next = index + 1;
            let follows = if next % GROUP_CHUNKS == 0 { name_offset(next) } else { chunk_offset(next) };
            prop_assert_eq!(end, follows);
        }
    }

    #[test]
    fn the_sealed_size_is_that_of_the_envelope() {
        for size in [1, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 2 * CHUNK_SIZE] {
            let object = SampleObject::new(1, 1, size);
            assert_eq!(sealed_size(size), object.envelope.sealed_size());
        }
    }
}
