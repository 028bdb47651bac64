//! What every object store promises about writers that are interrupted.

use dm_core::{
    envelope::{CHUNK_SIZE, Chunk, SignedEnvelope},
    ports::{ObjectStore, Resumed, StoreError, StoreUsage},
};
use futures::StreamExt;

use super::SampleObject;

/// Larger than what any store keeps in memory.
const SIZE: u64 = 20 * CHUNK_SIZE + 5;

/// Appends this many chunks by a writer that is dropped then.
async fn interrupt(store: &dyn ObjectStore, object: &SampleObject, chunks: usize) {
    let mut writer = store.resume(&object.envelope).await.unwrap().writer;
    for chunk in &object.chunks[..chunks] {
        writer.append(chunk.clone()).await.unwrap();
    }
}

/// What is kept of an object.
async fn kept(store: &dyn ObjectStore, envelope: &SignedEnvelope) -> Vec<Chunk> {
    let Resumed { kept, writer } = store.resume(envelope).await.unwrap();
    let kept = kept.collect().await;
    drop(writer);
    kept
}

/// Goes on with an object to its end; how many chunks were kept.
async fn complete(store: &dyn ObjectStore, object: &SampleObject) -> Result<usize, StoreError> {
    let Resumed { mut kept, mut writer } = store.resume(&object.envelope).await?;
    let mut count = 0;
    while let Some(chunk) = kept.next().await {
        assert!(chunk == object.chunks[count]);
        writer.append(chunk).await?;
        count += 1;
    }
    for chunk in &object.chunks[count..] {
        writer.append(chunk.clone()).await?;
    }
    writer.finish(&object.envelope).await?;
    Ok(count)
}

/// The first chunks are there, and the object is whole in the end. A few of
/// the last ones may not have been written.
pub async fn an_interrupted_writer_is_gone_on_with(store: &dyn ObjectStore) {
    let object = SampleObject::new(1, 1, SIZE);
    interrupt(store, &object, 13).await;
    let first = kept(store, &object.envelope).await;
    assert!((8..=13).contains(&first.len()), "{} are kept", first.len());
    assert!(first == object.chunks[..first.len()]);
    // A writer that goes on and is interrupted, too, loses nothing.
    interrupt(store, &object, 3).await;
    let count = complete(store, &object).await.unwrap();
    assert!(count >= first.len());
    assert!(object.is_in(store).await);
}

/// Half an object is none.
pub async fn what_an_interrupted_writer_left_is_not_visible(store: &dyn ObjectStore) {
    let object = SampleObject::new(1, 1, SIZE);
    interrupt(store, &object, 13).await;
    assert!(store.envelope(&object.id()).await.unwrap().is_none());
    assert!(matches!(
        store.chunk(&object.id(), 0).await,
        Err(StoreError::Missing)
    ));
    assert_eq!(store.usage().await.unwrap(), StoreUsage::default());
}

/// Other chunks under the same id, and those of another owner, begin anew; a
/// newer envelope over the same chunks does not.
pub async fn only_the_same_chunks_are_gone_on_with(store: &dyn ObjectStore) {
    let object = SampleObject::new(1, 1, SIZE);
    interrupt(store, &object, 13).await;
    let mut others = object.clone();
    others.chunks[2] = SampleObject::chunk(9, 9, CHUNK_SIZE);
    let other_chunks = SampleObject::sign(1, 1, SIZE, &others.chunks, 2);
    assert!(kept(store, &other_chunks).await.is_empty());
    let other_owner = SampleObject::sign(2, 1, SIZE, &object.chunks, 1);
    assert!(kept(store, &other_owner).await.is_empty());
    let newer = object.envelope_with_sequence(1, 7);
    assert!(kept(store, &newer).await.len() >= 8);
}

/// What came to its end, or was given up, is not gone on with.
pub async fn nothing_is_left_of_what_was_finished_or_discarded(store: &dyn ObjectStore) {
    let object = SampleObject::new(1, 1, SIZE);
    complete(store, &object).await.unwrap();
    assert!(kept(store, &object.envelope).await.is_empty());

    let given_up = SampleObject::new(1, 2, SIZE);
    interrupt(store, &given_up, 13).await;
    store.resume(&given_up.envelope).await.unwrap().writer.discard();
    assert!(kept(store, &given_up.envelope).await.is_empty());

    let mut wrong = SampleObject::new(1, 3, SIZE);
    wrong.chunks[2] = SampleObject::chunk(9, 9, CHUNK_SIZE);
    let refused = complete(store, &wrong).await;
    assert!(matches!(refused, Err(StoreError::Mismatch(_))), "{refused:?}");
    assert!(kept(store, &wrong.envelope).await.is_empty());
}

/// Two readers of one object at once both come to its end.
pub async fn two_resumed_writers_do_not_disturb_each_other(store: &dyn ObjectStore) {
    let object = SampleObject::new(1, 1, SIZE);
    interrupt(store, &object, 13).await;
    let (one, other) = tokio::join!(complete(store, &object), complete(store, &object));
    let outcomes = [one, other];
    assert!(outcomes.iter().any(Result::is_ok), "{outcomes:?}");
    let sound =
        |outcome: &Result<usize, StoreError>| matches!(outcome, Ok(_) | Err(StoreError::Stale { .. }));
    assert!(outcomes.iter().all(sound), "{outcomes:?}");
    assert!(object.is_in(store).await);
}
