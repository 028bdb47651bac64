//! What every object store promises; `object_store_conformance!` makes the tests.

use dm_core::{
    envelope::{CHUNK_SIZE, Chunk, SignedEnvelope},
    ports::{MAX_OWNERS_LISTED, ObjectStore, StoreError, StoreUsage},
};

use super::SampleObject;

/// Makes one test for every promise of [`ObjectStore`]. Takes the name of an
/// async function that opens an empty store and returns
/// `(Arc<dyn ObjectStore>, guard)`; the guard lives until the test ends.
#[macro_export]
macro_rules! object_store_conformance {
    ($open:path) => {
        $crate::object_store_conformance!($open:
            a_finished_object_is_read_back,
            nothing_is_visible_before_finish,
            a_dropped_writer_leaves_nothing,
            chunks_that_do_not_match_the_envelope_are_refused,
            a_stale_envelope_is_refused_and_changes_nothing,
            a_newer_envelope_replaces_the_object,
            an_object_is_restored_under_the_envelope_it_has,
            only_a_newer_envelope_over_the_same_chunks_is_stored,
            two_owners_share_a_locator,
            one_locator_lists_a_bounded_number_of_owners,
            names_and_chunks_are_read_in_ranges,
            a_removed_object_is_gone,
            objects_are_listed_in_pages,
            usage_counts_objects_and_bytes,
            concurrent_writers_all_succeed,
            of_two_writers_of_one_object_the_newer_wins,
            an_interrupted_writer_is_gone_on_with,
            what_an_interrupted_writer_left_is_not_visible,
            only_the_same_chunks_are_gone_on_with,
            nothing_is_left_of_what_was_finished_or_discarded,
            two_resumed_writers_do_not_disturb_each_other,
        );
    };
    ($open:path: $($promise:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let (store, _guard) = $open().await;
                $crate::objects::$promise(&*store).await;
            }
        )*
    };
}

/// Sizes on both sides of every boundary that adapters have: the length of a
/// chunk, the line between the engine and files, several chunks.
const SIZES: [u64; 7] = [
    1,
    1024,
    CHUNK_SIZE - 1,
    CHUNK_SIZE,
    CHUNK_SIZE + 1,
    3 * CHUNK_SIZE,
    5 * CHUNK_SIZE + 77,
];

/// Objects of any size are read back as they were written.
pub async fn a_finished_object_is_read_back(store: &dyn ObjectStore) {
    for (seed, size) in (0..).zip(SIZES) {
        let object = SampleObject::new(1, seed, size);
        object.store_in(store).await.unwrap();
        assert!(object.is_in(store).await, "{size} bytes");
        let names = store.chunk_names(&object.id(), 0, 100).await.unwrap();
        assert!(names.into_iter().eq(object.chunks.iter().map(Chunk::name)));
    }
}

/// An object appears with `finish` and not before.
pub async fn nothing_is_visible_before_finish(store: &dyn ObjectStore) {
    for (seed, size) in (0..).zip(SIZES) {
        let object = SampleObject::new(1, seed, size);
        let mut writer = store.create().await.unwrap();
        for chunk in &object.chunks {
            writer.append(chunk.clone()).await.unwrap();
        }
        assert_absent(store, &object).await;
        writer.finish(&object.envelope).await.unwrap();
        assert!(object.is_in(store).await);
    }
}

/// A writer that is given up leaves nothing behind.
pub async fn a_dropped_writer_leaves_nothing(store: &dyn ObjectStore) {
    for (seed, size) in (0..).zip(SIZES) {
        let object = SampleObject::new(1, seed, size);
        let mut writer = store.create().await.unwrap();
        for chunk in &object.chunks {
            writer.append(chunk.clone()).await.unwrap();
        }
        drop(writer);
        assert_absent(store, &object).await;
    }
    assert_eq!(store.usage().await.unwrap(), StoreUsage::default());
}

/// Too few, too many, reordered, foreign and missing chunks are refused.
pub async fn chunks_that_do_not_match_the_envelope_are_refused(store: &dyn ObjectStore) {
    let object = SampleObject::new(1, 0, 3 * CHUNK_SIZE + 5);
    let mut short = object.clone();
    short.chunks.pop();
    let mut long = object.clone();
    long.chunks.push(object.chunks[3].clone());
    let mut reordered = object.clone();
    reordered.chunks.swap(0, 1);
    let mut foreign = object.clone();
    foreign.chunks[1] = SampleObject::chunk(9, 9, CHUNK_SIZE);
    let mut early_end = object.clone();
    early_end.chunks.swap(0, 3);
    let mut empty = object.clone();
    empty.chunks.clear();
    for wrong in [short, long, reordered, foreign, early_end, empty] {
        let refused = wrong.store_in(store).await;
        assert!(matches!(refused, Err(StoreError::Mismatch(_))), "{refused:?}");
        assert_absent(store, &object).await;
    }
    let other_size = SampleObject::sign(1, 0, 3 * CHUNK_SIZE + 500, &object.chunks, 1);
    let refused = object.store_under(store, &other_size).await;
    assert!(matches!(refused, Err(StoreError::Mismatch(_))), "{refused:?}");
    assert_eq!(store.usage().await.unwrap(), StoreUsage::default());
}

/// An object whose envelope is not newer than the stored one is refused.
pub async fn a_stale_envelope_is_refused_and_changes_nothing(store: &dyn ObjectStore) {
    let mut object = SampleObject::new(1, 0, CHUNK_SIZE + 9);
    object.envelope = object.envelope_with_sequence(1, 5);
    object.store_in(store).await.unwrap();
    let usage = store.usage().await.unwrap();
    for sequence in [4, 5] {
        let other = SampleObject::new(1, 0, 100 + sequence);
        let envelope = other.envelope_with_sequence(1, sequence);
        let refused = other.store_under(store, &envelope).await;
        assert!(
            matches!(refused, Err(StoreError::Stale { stored: 5 })),
            "{refused:?}"
        );
        assert!(object.is_in(store).await);
    }
    assert_eq!(store.usage().await.unwrap(), usage);
}

/// Chunks are stored anew under the same envelope, and never under an older one.
pub async fn an_object_is_restored_under_the_envelope_it_has(store: &dyn ObjectStore) {
    for (seed, size) in [(0, 900), (1, 3 * CHUNK_SIZE)] {
        let object = SampleObject::new(1, seed, size);
        object.store_in(store).await.unwrap();
        let usage = store.usage().await.unwrap();
        let restore = async |envelope: &SignedEnvelope| {
            let mut writer = store.create().await.unwrap();
            for chunk in &object.chunks {
                writer.append(chunk.clone()).await.unwrap();
            }
            writer.restore(envelope).await
        };
        restore(&object.envelope).await.unwrap();
        assert!(object.is_in(store).await);
        assert_eq!(store.usage().await.unwrap(), usage);
        let newer = object.envelope_with_sequence(1, 2);
        assert!(store.replace_envelope(&newer).await.unwrap());
        let refused = restore(&object.envelope).await;
        assert!(
            matches!(refused, Err(StoreError::Stale { stored: 2 })),
            "{refused:?}"
        );
    }
}

/// A newer envelope with chunks of its own, or with none, replaces a stored object.
pub async fn a_newer_envelope_replaces_the_object(store: &dyn ObjectStore) {
    for (seed, (before, after)) in (0..).zip([
        (10, 20),
        (10, 3 * CHUNK_SIZE),
        (3 * CHUNK_SIZE, 10),
        (2 * CHUNK_SIZE, 4 * CHUNK_SIZE),
        // Tombstones.
        (10, 0),
        (3 * CHUNK_SIZE, 0),
    ]) {
        SampleObject::new(1, seed, before).store_in(store).await.unwrap();
        let mut newer = SampleObject::new(1, seed, after);
        newer.envelope = newer.envelope_with_sequence(1, 2);
        newer.store_in(store).await.unwrap();
        assert!(newer.is_in(store).await);
        let beyond = store.chunk(&newer.id(), newer.chunks.len() as u64).await;
        assert!(matches!(beyond, Err(StoreError::Missing)));
    }
    assert_eq!(store.usage().await.unwrap().objects, 6);
}

/// `replace_envelope` keeps the chunks and takes only newer envelopes over them.
pub async fn only_a_newer_envelope_over_the_same_chunks_is_stored(store: &dyn ObjectStore) {
    for (seed, size) in [(0, 10), (1, 3 * CHUNK_SIZE)] {
        let mut object = SampleObject::new(1, seed, size);
        let newer = object.envelope_with_sequence(1, 7);
        assert!(matches!(
            store.replace_envelope(&newer).await,
            Err(StoreError::Missing)
        ));
        object.store_in(store).await.unwrap();
        assert!(object.is_in(store).await);

        assert!(store.replace_envelope(&newer).await.unwrap());
        assert!(!store.replace_envelope(&newer).await.unwrap());
        assert!(
            !store
                .replace_envelope(&object.envelope_with_sequence(1, 6))
                .await
                .unwrap()
        );
        object.envelope = newer;
        assert!(object.is_in(store).await);

        let other_chunks = SampleObject::sign_list(1, seed, size, [0; 32], 8);
        let other_size = SampleObject::sign(1, seed, size + 1, &object.chunks, 8);
        for wrong in [other_chunks, other_size] {
            let refused = store.replace_envelope(&wrong).await;
            assert!(matches!(refused, Err(StoreError::Mismatch(_))), "{refused:?}");
        }
        assert!(object.is_in(store).await);
    }
}

/// Two owners of the same data have an object each.
pub async fn two_owners_share_a_locator(store: &dyn ObjectStore) {
    let first = SampleObject::new(1, 0, 50);
    let second = SampleObject::new(2, 0, 2 * CHUNK_SIZE);
    let elsewhere = SampleObject::new(1, 1, 50);
    for object in [&first, &second, &elsewhere] {
        object.store_in(store).await.unwrap();
    }
    let mut expected = vec![first.envelope.clone(), second.envelope.clone()];
    expected.sort_by_key(|envelope| envelope.id);
    assert_eq!(store.envelopes(&first.id().locator).await.unwrap(), expected);
    let unknown = SampleObject::new(1, 99, 1).id().locator;
    assert!(store.envelopes(&unknown).await.unwrap().is_empty());

    assert!(store.remove(&first.id()).await.unwrap());
    assert!(second.is_in(store).await);
    assert_eq!(
        store.envelopes(&first.id().locator).await.unwrap(),
        [second.envelope]
    );
}

/// However many owners share a locator, reading their envelopes takes bounded
/// memory, and the object of each of them is still found by its id.
pub async fn one_locator_lists_a_bounded_number_of_owners(store: &dyn ObjectStore) {
    let owners = MAX_OWNERS_LISTED as u8 + 2;
    let mut expected = Vec::new();
    for owner in 1..=owners {
        let object = SampleObject::new(owner, 0, 1);
        object.store_in(store).await.unwrap();
        expected.push(object.envelope);
    }
    expected.sort_by_key(|envelope| envelope.id);
    let locator = expected[0].id.locator;
    let listed = store.envelopes(&locator).await.unwrap();
    assert_eq!(listed, expected[..MAX_OWNERS_LISTED]);
    for envelope in expected {
        assert_eq!(store.envelope(&envelope.id).await.unwrap(), Some(envelope));
    }
}

/// Names and chunks beyond the end are missing; ranges may begin anywhere.
pub async fn names_and_chunks_are_read_in_ranges(store: &dyn ObjectStore) {
    let object = SampleObject::new(1, 0, 6 * CHUNK_SIZE + 1);
    object.store_in(store).await.unwrap();
    let all: Vec<_> = object.chunks.iter().map(Chunk::name).collect();
    for first in 0..=8 {
        for count in [0, 1, 3, 100] {
            let expected: Vec<_> = all.iter().copied().skip(first).take(count).collect();
            let names = store
                .chunk_names(&object.id(), first as u64, count)
                .await
                .unwrap();
            assert_eq!(names, expected, "{count} names from {first}");
        }
    }
    assert!(
        store
            .chunk_names(&object.id(), u64::MAX, usize::MAX)
            .await
            .unwrap()
            .is_empty()
    );
    for first in 0..7_usize {
        for count in [1, 2, 3, 100_u64] {
            let chunks = store.chunks(&object.id(), first as u64, count).await.unwrap();
            assert!(
                (1..=count).contains(&(chunks.len() as u64)),
                "{count} chunks from {first}"
            );
            assert!(
                object.chunks[first..].starts_with(&chunks),
                "{count} chunks from {first}"
            );
        }
    }
    for index in [7, 1 << 40, u64::MAX] {
        let beyond = store.chunk(&object.id(), index).await;
        assert!(matches!(beyond, Err(StoreError::Missing)), "chunk {index}");
        let beyond = store.chunks(&object.id(), index, 2).await;
        assert!(matches!(beyond, Err(StoreError::Missing)), "chunks from {index}");
    }
}

/// What is removed is gone, chunks and usage too, and can be stored again.
pub async fn a_removed_object_is_gone(store: &dyn ObjectStore) {
    for (seed, size) in (0..).zip(SIZES) {
        let object = SampleObject::new(1, seed, size);
        assert!(!store.remove(&object.id()).await.unwrap());
        object.store_in(store).await.unwrap();
        assert!(object.is_in(store).await);
        assert!(store.remove(&object.id()).await.unwrap());
        assert_absent(store, &object).await;
        assert!(!store.remove(&object.id()).await.unwrap());
        object.store_in(store).await.unwrap();
        assert!(object.is_in(store).await);
        store.remove(&object.id()).await.unwrap();
    }
    assert_eq!(store.usage().await.unwrap(), StoreUsage::default());
}

/// Pages follow each other in the order of the ids.
pub async fn objects_are_listed_in_pages(store: &dyn ObjectStore) {
    let mut expected = Vec::new();
    for seed in 0..10 {
        let object = SampleObject::new(1 + (seed % 2) as u8, seed / 2, 10);
        object.store_in(store).await.unwrap();
        expected.push(object.id());
    }
    expected.sort();
    let mut listed = Vec::new();
    loop {
        let page = store.list(listed.last(), 3).await.unwrap();
        assert!(page.len() <= 3);
        if page.is_empty() {
            break;
        }
        listed.extend(page);
    }
    assert_eq!(listed, expected);
    assert!(store.list(None, 0).await.unwrap().is_empty());
    assert_eq!(store.list(None, 100).await.unwrap(), expected);
}

/// Usage is the number of objects and the bytes of their chunks.
pub async fn usage_counts_objects_and_bytes(store: &dyn ObjectStore) {
    assert_eq!(store.usage().await.unwrap(), StoreUsage::default());
    let mut expected = StoreUsage::default();
    for (seed, size) in (0..).zip(SIZES) {
        let object = SampleObject::new(1, seed, size);
        object.store_in(store).await.unwrap();
        expected.objects += 1;
        expected.bytes += object
            .chunks
            .iter()
            .map(|chunk| chunk.bytes().len() as u64)
            .sum::<u64>();
        assert_eq!(store.usage().await.unwrap(), expected);
        store
            .replace_envelope(&object.envelope_with_sequence(1, 2))
            .await
            .unwrap();
        assert_eq!(store.usage().await.unwrap(), expected);
    }
}

/// Writers do not disturb each other.
pub async fn concurrent_writers_all_succeed(store: &dyn ObjectStore) {
    let objects: Vec<_> = (0..24)
        .map(|seed| SampleObject::new(1, seed, if seed % 8 == 0 { 2 * CHUNK_SIZE } else { 900 }))
        .collect();
    let written = futures::future::join_all(objects.iter().map(|object| object.store_in(store))).await;
    assert!(written.iter().all(Result::is_ok), "{written:?}");
    for object in &objects {
        assert!(object.is_in(store).await);
    }
    assert_eq!(store.usage().await.unwrap().objects, 24);
}

/// However two writers of one object overlap, the higher sequence number stays.
pub async fn of_two_writers_of_one_object_the_newer_wins(store: &dyn ObjectStore) {
    for round in 0..8 {
        let older = SampleObject::new(1, round, 100);
        let mut newer = SampleObject::new(1, round, 2 * CHUNK_SIZE);
        newer.envelope = newer.envelope_with_sequence(1, 2);
        let (old, new) = futures::join!(older.store_in(store), newer.store_in(store));
        assert!(
            matches!(old, Ok(()) | Err(StoreError::Stale { stored: 2 })),
            "{old:?}"
        );
        new.unwrap();
        assert!(newer.is_in(store).await);
    }
    assert_eq!(store.usage().await.unwrap().objects, 8);
}

async fn assert_absent(store: &dyn ObjectStore, object: &SampleObject) {
    let id = object.id();
    assert!(store.envelope(&id).await.unwrap().is_none());
    assert!(matches!(store.chunk(&id, 0).await, Err(StoreError::Missing)));
    assert!(matches!(
        store.chunk_names(&id, 0, 1).await,
        Err(StoreError::Missing)
    ));
    assert!(
        store
            .list(None, 1000)
            .await
            .unwrap()
            .iter()
            .all(|listed| *listed != id)
    );
}
