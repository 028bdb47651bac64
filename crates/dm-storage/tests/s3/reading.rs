//! How many requests reading takes.

use dm_core::ports::ObjectStore;
use dm_testing::{
    objects::SampleObject,
    s3::{FaultProxy, S3Double},
};
use futures::{StreamExt, stream};

use super::{large, open};

/// Reads these chunks, four at a time as the services do, and returns the requests it took.
async fn requests(
    proxy: &FaultProxy,
    objects: &dyn ObjectStore,
    object: &SampleObject,
    indexes: impl Iterator<Item = u64>,
) -> u64 {
    let before = proxy.requests();
    let mut reads = stream::iter(indexes)
        .map(|index| async move { (index, objects.chunk(&object.id(), index).await.unwrap()) })
        .buffered(4);
    while let Some((index, chunk)) = reads.next().await {
        assert!(chunk == object.chunks[index as usize]);
    }
    proxy.requests() - before
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_from_chunk_to_chunk_is_read_ahead_for_and_others_are_not() {
    let store = S3Double::start(None);
    let proxy = FaultProxy::before(&store.url());
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path(), &proxy.url()).unwrap();
    let (objects, object) = (storage.objects(), large(1));
    object.store_in(&*objects).await.unwrap();
    let count = object.chunks.len() as u64;
    let in_order = requests(&proxy, &*objects, &object, 0..count).await;
    assert!(in_order < count / 3, "{in_order} requests for {count} chunks");

    let other = large(2);
    other.store_in(&*objects).await.unwrap();
    let here_and_there = (0..count).map(|index| index * 20 % count);
    let scattered = requests(&proxy, &*objects, &other, here_and_there).await;
    assert!(scattered <= count + 4, "{scattered} requests for {count} chunks");

    // Readers of one object at several places do not read in vain for ever.
    let third = large(3);
    third.store_in(&*objects).await.unwrap();
    let places = (0..count / 5).flat_map(|step| (0..5).map(move |reader| reader * (count / 5) + step));
    let several = requests(&proxy, &*objects, &third, places).await;
    assert!(several <= count + 20, "{several} requests for {count} chunks");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_read_by_blocks() {
    let store = S3Double::start(None);
    let proxy = FaultProxy::before(&store.url());
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path(), &proxy.url()).unwrap();
    let (objects, object) = (storage.objects(), large(1));
    object.store_in(&*objects).await.unwrap();
    let before = proxy.requests();
    let names = objects.chunk_names(&object.id(), 0, 1000).await.unwrap();
    assert_eq!(names.len(), object.chunks.len());
    assert!(proxy.requests() - before <= 3);
}
