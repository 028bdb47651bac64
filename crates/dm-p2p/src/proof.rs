//! Proofs that a peer has an object's bytes: a digest over chunks of it that
//! nobody could foresee, and over who asks whom.

use dm_core::{
    envelope::{Chunk, MAX_CHUNK_BYTES, SignedEnvelope},
    ports::{ObjectStore, StoreError},
};
use libp2p::PeerId;
use sha2::{Digest, Sha256};

/// Domain of the digest.
const DOMAIN: &[u8] = b"datamgmt/proof/1";
/// Chunks that a proof covers, at random. A peer that has dropped a tenth of a
/// large object is found out by one challenge in three.
const CHUNKS: u8 = 4;

/// Random bytes that decide which chunks are asked for.
pub(crate) type Nonce = [u8; 32];

/// The digest with which `holder` answers `challenger`. Who has not got the
/// bytes cannot compute it; one made for another peer or at another time is
/// of no use.
pub(crate) async fn prove(
    objects: &dyn ObjectStore,
    envelope: &SignedEnvelope,
    nonce: &Nonce,
    challenger: &PeerId,
    holder: &PeerId,
) -> Result<[u8; 32], StoreError> {
    let mut digest = Sha256::new();
    digest.update(DOMAIN);
    digest.update(nonce);
    for peer in [challenger, holder] {
        let bytes = peer.to_bytes();
        digest.update((bytes.len() as u64).to_be_bytes());
        digest.update(&bytes);
    }
    digest.update(envelope.id.locator.as_bytes());
    digest.update(envelope.id.owner);
    digest.update(envelope.chunk_list);
    let mut last: Option<(u64, Chunk)> = None;
    for index in chunks(envelope, nonce) {
        // A small object has the same chunk again and again.
        let chunk = match last {
            Some((known, chunk)) if known == index => chunk,
            _ => objects.chunk_from_medium(&envelope.id, index).await?,
        };
        digest.update(index.to_be_bytes());
        digest.update(chunk.bytes());
        last = Some((index, chunk));
    }
    Ok(digest.finalize().into())
}

/// How many bytes of an object are read and hashed for a proof.
pub(crate) fn bytes_of_proof(envelope: &SignedEnvelope) -> u64 {
    let largest = envelope.sealed_size().min(MAX_CHUNK_BYTES as u64);
    u64::from(CHUNKS) * largest
}

/// Which chunks a nonce asks for.
fn chunks(envelope: &SignedEnvelope, nonce: &Nonce) -> impl Iterator<Item = u64> + use<> {
    let count = envelope.chunk_count();
    let seed = *nonce;
    // A tombstone has none.
    (0..CHUNKS).filter_map(move |number| {
        let digest: [u8; 32] = Sha256::new()
            .chain_update(DOMAIN)
            .chain_update([number])
            .chain_update(seed)
            .finalize()
            .into();
        let random = digest[..8].iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
        // The bias of a remainder of 64 bits is of no importance here.
        random.checked_rem(count)
    })
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashSet,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use async_trait::async_trait;
    use dm_core::{
        envelope::{CHUNK_SIZE, ObjectId},
        ports::ObjectStoreLayer,
    };
    use dm_testing::objects::{MemoryObjectStore, SampleObject};

    use super::*;

    #[tokio::test]
    async fn only_the_same_question_to_the_same_peer_has_the_same_answer() {
        let store = MemoryObjectStore::new();
        let (one, other) = (SampleObject::new(1, 7, 700_000), SampleObject::new(2, 7, 700_000));
        one.store_in(&store).await.unwrap();
        other.store_in(&store).await.unwrap();
        let (me, you, third) = (PeerId::random(), PeerId::random(), PeerId::random());
        let mut answers = HashSet::new();
        for (envelope, nonce, asker, holder) in [
            (&one.envelope, [1; 32], &me, &you),
            (&one.envelope, [2; 32], &me, &you),
            (&one.envelope, [1; 32], &you, &me),
            (&one.envelope, [1; 32], &third, &you),
            (&one.envelope, [1; 32], &me, &third),
            (&other.envelope, [1; 32], &me, &you),
        ] {
            let answer = prove(&store, envelope, &nonce, asker, holder).await.unwrap();
            let again = prove(&store, envelope, &nonce, asker, holder).await.unwrap();
            assert_eq!(answer, again);
            assert!(answers.insert(answer));
        }
    }

    #[tokio::test]
    async fn who_does_not_have_the_object_has_no_answer() {
        let object = SampleObject::new(1, 7, 100);
        let store = MemoryObjectStore::new();
        let me = PeerId::random();
        let answer = prove(&store, &object.envelope, &[1; 32], &me, &me).await;
        assert!(matches!(answer, Err(StoreError::Missing)));
    }

    /// Counts the chunks that are read.
    #[derive(Default)]
    struct Counting {
        objects: MemoryObjectStore,
        read: AtomicUsize,
    }

    #[async_trait]
    impl ObjectStoreLayer for Counting {
        fn inner(&self) -> &dyn ObjectStore {
            &self.objects
        }

        async fn chunk_from_medium(&self, id: &ObjectId, index: u64) -> Result<Chunk, StoreError> {
            self.read.fetch_add(1, Ordering::Relaxed);
            self.objects.chunk_from_medium(id, index).await
        }
    }

    #[tokio::test]
    async fn the_only_chunk_of_an_object_is_read_once() {
        let (store, object) = (Counting::default(), SampleObject::new(1, 7, 100));
        object.store_in(&store).await.unwrap();
        let me = PeerId::random();
        prove(&store, &object.envelope, &[1; 32], &me, &me).await.unwrap();
        assert_eq!(store.read.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn questions_reach_every_part_of_an_object_and_nothing_beyond() {
        let object = SampleObject::new(1, 7, 9 * CHUNK_SIZE + 100);
        let asked: HashSet<u64> = (0..100u8)
            .flat_map(|seed| chunks(&object.envelope, &[seed; 32]))
            .collect();
        assert_eq!(asked, (0..10).collect());
    }
}
