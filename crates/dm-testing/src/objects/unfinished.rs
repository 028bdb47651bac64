//! What every store promises of objects that come in parts.

#![allow(missing_docs, reason = "the name of a check is the promise")]

use dm_core::{
    envelope::CHUNK_SIZE,
    ports::{ObjectStore, StoreError, UnfinishedObjects, UnfinishedWriter},
    upload::UploadId,
};

use super::SampleObject;

/// Makes one test for every promise of
/// [`UnfinishedObjects`](dm_core::ports::UnfinishedObjects). Takes the name of an async
/// function that opens an empty store and returns
/// `(Arc<dyn ObjectStore>, Arc<dyn UnfinishedObjects>, guard)`.
#[macro_export]
macro_rules! unfinished_objects_conformance {
    ($open:path) => {
        $crate::unfinished_objects_conformance!($open:
            what_was_synced_is_gone_on_with,
            what_was_appended_since_the_last_sync_is_taken_back,
            what_came_behind_the_place_to_go_on_from_counts_for_nothing,
            an_object_in_parts_is_not_visible,
            an_object_that_was_finished_can_be_finished_again,
            what_is_forgotten_leaves_the_object_that_it_became,
            two_objects_in_parts_do_not_disturb_each_other,
        );
    };
    ($open:path: $($promise:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let (objects, unfinished, _guard) = $open().await;
                $crate::objects::$promise(&*objects, &*unfinished).await;
            }
        )*
    };
}

const SIZE: u64 = 10 * CHUNK_SIZE + 5;

fn id(n: u8) -> UploadId {
    UploadId([n; 16])
}

/// Goes on behind so many chunks, which are compared with those of the object.
async fn go_on(
    unfinished: &dyn UnfinishedObjects,
    id: UploadId,
    object: &SampleObject,
    chunks: u64,
) -> Box<dyn UnfinishedWriter> {
    let mut writer = unfinished.go_on(id, chunks).await.unwrap();
    for index in 0..chunks {
        let chunk = unfinished.unfinished_chunk(id, index).await.unwrap();
        assert!(chunk == object.chunks[index as usize]);
        writer.append(chunk).await.unwrap();
    }
    writer.sync().await.unwrap();
    writer
}

async fn append(writer: &mut dyn UnfinishedWriter, object: &SampleObject, range: std::ops::Range<usize>) {
    for chunk in &object.chunks[range] {
        writer.append(chunk.clone()).await.unwrap();
    }
}

pub async fn what_was_synced_is_gone_on_with(objects: &dyn ObjectStore, unfinished: &dyn UnfinishedObjects) {
    let object = SampleObject::new(1, 1, SIZE);
    for (from, to) in [(0, 3), (3, 4), (4, 9)] {
        let mut writer = go_on(unfinished, id(1), &object, from as u64).await;
        append(&mut *writer, &object, from..to).await;
        writer.sync().await.unwrap();
    }
    assert_eq!(unfinished.list_unfinished().await.unwrap(), [id(1)]);
    let mut writer = go_on(unfinished, id(1), &object, 9).await;
    append(&mut *writer, &object, 9..11).await;
    writer.finish(&object.envelope).await.unwrap();
    assert!(object.is_in(objects).await);
}

pub async fn what_was_appended_since_the_last_sync_is_taken_back(
    objects: &dyn ObjectStore,
    unfinished: &dyn UnfinishedObjects,
) {
    let object = SampleObject::new(1, 1, SIZE);
    let other = SampleObject::new(1, 2, SIZE);
    let mut writer = go_on(unfinished, id(1), &object, 0).await;
    append(&mut *writer, &object, 0..2).await;
    writer.sync().await.unwrap();
    append(&mut *writer, &other, 2..8).await;
    writer.rewind().await.unwrap();
    append(&mut *writer, &object, 2..11).await;
    writer.finish(&object.envelope).await.unwrap();
    assert!(object.is_in(objects).await);
}

pub async fn what_came_behind_the_place_to_go_on_from_counts_for_nothing(
    objects: &dyn ObjectStore,
    unfinished: &dyn UnfinishedObjects,
) {
    let object = SampleObject::new(1, 1, SIZE);
    let other = SampleObject::new(1, 2, SIZE);
    let mut writer = go_on(unfinished, id(1), &object, 0).await;
    append(&mut *writer, &object, 0..2).await;
    writer.sync().await.unwrap();
    append(&mut *writer, &other, 2..8).await;
    drop(writer);
    let mut writer = go_on(unfinished, id(1), &object, 2).await;
    append(&mut *writer, &object, 2..11).await;
    writer.finish(&object.envelope).await.unwrap();
    assert!(object.is_in(objects).await);
}

pub async fn an_object_in_parts_is_not_visible(
    objects: &dyn ObjectStore,
    unfinished: &dyn UnfinishedObjects,
) {
    let object = SampleObject::new(1, 1, SIZE);
    let mut writer = go_on(unfinished, id(1), &object, 0).await;
    append(&mut *writer, &object, 0..11).await;
    writer.sync().await.unwrap();
    assert!(objects.envelope(&object.id()).await.unwrap().is_none());
    assert_eq!(objects.usage().await.unwrap(), Default::default());
    let missing = unfinished.unfinished_chunk(id(2), 0).await;
    assert!(matches!(missing, Err(StoreError::Missing)), "{missing:?}");
}

pub async fn an_object_that_was_finished_can_be_finished_again(
    objects: &dyn ObjectStore,
    unfinished: &dyn UnfinishedObjects,
) {
    let object = SampleObject::new(1, 1, SIZE);
    let mut writer = go_on(unfinished, id(1), &object, 0).await;
    append(&mut *writer, &object, 0..10).await;
    writer.sync().await.unwrap();
    append(&mut *writer, &object, 10..11).await;
    let wrong = SampleObject::new(1, 2, SIZE).envelope;
    assert!(matches!(
        writer.finish(&wrong).await,
        Err(StoreError::Mismatch(_))
    ));
    for sequence in [1, 2] {
        let mut writer = go_on(unfinished, id(1), &object, 10).await;
        append(&mut *writer, &object, 10..11).await;
        let envelope = object.envelope_with_sequence(1, sequence);
        writer.finish(&envelope).await.unwrap();
        let stored = objects.envelope(&object.id()).await.unwrap();
        assert_eq!(stored.map(|stored| stored.sequence), Some(sequence));
        for (index, chunk) in (0..).zip(&object.chunks) {
            assert!(objects.chunk(&object.id(), index).await.unwrap() == *chunk);
        }
    }
}

pub async fn what_is_forgotten_leaves_the_object_that_it_became(
    objects: &dyn ObjectStore,
    unfinished: &dyn UnfinishedObjects,
) {
    let object = SampleObject::new(1, 1, SIZE);
    let mut writer = go_on(unfinished, id(1), &object, 0).await;
    append(&mut *writer, &object, 0..11).await;
    writer.finish(&object.envelope).await.unwrap();
    for _ in 0..2 {
        unfinished.forget_unfinished(id(1)).await.unwrap();
        assert_eq!(unfinished.list_unfinished().await.unwrap(), []);
    }
    assert!(object.is_in(objects).await);
    objects.remove(&object.id()).await.unwrap();
    assert!(objects.envelope(&object.id()).await.unwrap().is_none());
}

pub async fn two_objects_in_parts_do_not_disturb_each_other(
    objects: &dyn ObjectStore,
    unfinished: &dyn UnfinishedObjects,
) {
    let (one, other) = (SampleObject::new(1, 1, SIZE), SampleObject::new(1, 2, SIZE));
    let mut first = go_on(unfinished, id(1), &one, 0).await;
    let mut second = go_on(unfinished, id(2), &other, 0).await;
    for index in 0..11 {
        append(&mut *first, &one, index..index + 1).await;
        append(&mut *second, &other, index..index + 1).await;
    }
    first.sync().await.unwrap();
    second.finish(&other.envelope).await.unwrap();
    unfinished.forget_unfinished(id(2)).await.unwrap();
    first.finish(&one.envelope).await.unwrap();
    assert!(one.is_in(objects).await);
    assert!(other.is_in(objects).await);
}
