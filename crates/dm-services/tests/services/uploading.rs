//! Data that comes in parts is shared once, whatever happens to the node meanwhile.

use std::ops::Range;

use bytes::Bytes;
use dm_core::{
    config::UploadsConfig,
    envelope::CHUNK_SIZE,
    hash::DataHash,
    ports::UnfinishedObjects,
    share::{ShareOutcome, ShareTerms},
    upload::UploadId,
};
use dm_services::{
    Counts, DataConfig, DataManager, ServiceError, UploadError, UploadOutcome, UploadProgress,
};

use crate::support::{TestNode, World, data, eventually, settings, terms};

pub(crate) const KEY: &str = "key_1";
/// Three whole chunks and a part of one.
pub(crate) const SIZE: usize = 3 * CHUNK_SIZE as usize + 1000;

pub(crate) async fn begin(data: &DataManager, length: usize, terms: &ShareTerms) -> UploadId {
    begin_for_each(data, length, std::slice::from_ref(terms)).await
}

pub(crate) async fn begin_for_each(data: &DataManager, length: usize, terms: &[ShareTerms]) -> UploadId {
    let begun = data.uploads().begin(KEY, length as u64, terms).await.unwrap();
    assert_eq!((begun.offset, begun.length), (0, length as u64));
    begun.id
}

/// Sends this part of some bytes, in pieces of an odd size.
pub(crate) async fn send(
    data: &DataManager,
    id: UploadId,
    bytes: &Bytes,
    part: Range<usize>,
) -> Result<UploadProgress, UploadError> {
    let mut writer = data
        .uploads()
        .write(KEY, id, part.start as u64, Counts::InParts)
        .await?;
    for piece in bytes[part].chunks(70_001) {
        writer.write(Bytes::copy_from_slice(piece)).await?;
    }
    writer.finish().await
}

pub(crate) async fn offset(data: &DataManager, id: UploadId) -> u64 {
    data.uploads().progress(KEY, id).await.unwrap().offset
}

pub(crate) async fn shared(data: &DataManager, id: UploadId) -> ShareOutcome {
    match data.uploads().outcome(KEY, id).await.unwrap() {
        UploadOutcome::Shared(outcome) => *outcome,
        other => panic!("not shared with one: {other:?}"),
    }
}

/// The node as it is after a restart: its stores, and nothing of its memory.
pub(crate) fn restarted(node: &TestNode) -> DataManager {
    DataManager::new(&node.ports, settings()).unwrap()
}

fn with(node: &TestNode, uploads: UploadsConfig) -> DataManager {
    let config = DataConfig {
        uploads,
        ..settings()
    };
    DataManager::new(&node.ports, config).unwrap()
}

#[tokio::test]
async fn data_that_came_in_parts_of_any_size_is_that_of_one_share() {
    let world = World::new();
    let node = world.node(1).await;
    let bytes = data(SIZE);
    for step in [1000, 100_000, CHUNK_SIZE as usize, 300_000, SIZE] {
        let recipient = World::new().node(2).await.address();
        let id = begin(&node.data, SIZE, &terms(recipient)).await;
        let mut sent = 0;
        // Small steps first and large ones then, so that it does not take long.
        for part in (0..).map(|n| step << n) {
            let end = (sent + part).min(SIZE);
            let progress = send(&node.data, id, &bytes, sent..end).await.unwrap();
            assert_eq!(progress.offset, end as u64, "what was sent is acknowledged");
            sent = end;
            if sent == SIZE {
                break;
            }
            let under_way = node.data.uploads().outcome(KEY, id).await.unwrap();
            assert!(
                matches!(under_way, UploadOutcome::UnderWay(place) if place == progress),
                "{under_way:?}"
            );
        }
        let outcome = shared(&node.data, id).await;
        assert_eq!(outcome.data_hash, DataHash::of(&bytes));
        assert_eq!(node.read(&outcome.data_hash).await.unwrap(), bytes);
        assert!(node.objects.list_unfinished().await.unwrap().is_empty());
    }
    let again = node
        .data
        .share_bytes(bytes, terms(world.node(2).await.address()))
        .await
        .unwrap();
    assert_eq!(again.leaf_index, Some(0), "it is the same share");
}

#[tokio::test]
async fn what_was_acknowledged_is_taken_up_after_a_restart() {
    let world = World::new();
    let node = world.node(1).await;
    let bytes = data(SIZE);
    let id = begin(&node.data, SIZE, &terms(node.address())).await;
    let places = [
        0,
        10,
        CHUNK_SIZE as usize,
        CHUNK_SIZE as usize + 1,
        3 * CHUNK_SIZE as usize + 7,
        SIZE,
    ];
    for part in places.windows(2) {
        let data = restarted(&node);
        assert_eq!(offset(&data, id).await, part[0] as u64);
        send(&data, id, &bytes, part[0]..part[1]).await.unwrap();
    }
    let outcome = shared(&restarted(&node), id).await;
    assert_eq!(outcome.data_hash, DataHash::of(&bytes));
    assert_eq!(node.read(&outcome.data_hash).await.unwrap(), bytes);
    assert_eq!(node.events().await, 1);
}

#[tokio::test]
async fn a_request_that_breaks_off_keeps_what_has_come_unless_it_counts_as_a_whole() {
    let world = World::new();
    let node = world.node(1).await;
    let bytes = data(SIZE);
    let id = begin(&node.data, SIZE, &terms(node.address())).await;
    let uploads = node.data.uploads();

    let mut writer = uploads.write(KEY, id, 0, Counts::InParts).await.unwrap();
    writer.write(bytes.slice(..300_000)).await.unwrap();
    drop(writer);
    eventually("what has come is durable", async || {
        (offset(&node.data, id).await == 300_000).then_some(())
    })
    .await;

    for is_dropped in [true, false] {
        let mut writer = eventually("the turn is free", async || {
            uploads.write(KEY, id, 300_000, Counts::AsAWhole).await.ok()
        })
        .await;
        writer.write(Bytes::from(vec![0xff; 400_000])).await.unwrap();
        if is_dropped {
            drop(writer);
        } else {
            assert_eq!(writer.discard().await.unwrap().offset, 300_000);
        }
    }
    send(&node.data, id, &bytes, 300_000..SIZE).await.unwrap();
    assert_eq!(shared(&node.data, id).await.data_hash, DataHash::of(&bytes));
}

#[tokio::test]
async fn bytes_that_do_not_fit_are_refused_and_harm_nothing() {
    let world = World::new();
    let node = world.node(1).await;
    let bytes = data(SIZE);
    let id = begin(&node.data, 1000, &terms(node.address())).await;
    send(&node.data, id, &bytes, 0..400).await.unwrap();
    let too_long = send(&node.data, id, &bytes, 400..1001).await;
    assert!(
        matches!(too_long, Err(UploadError::TooLong { length: 1000 })),
        "{too_long:?}"
    );
    for place in [0, 399, 401, usize::MAX] {
        let wrong = node
            .data
            .uploads()
            .write(KEY, id, place as u64, Counts::InParts)
            .await;
        assert!(matches!(
            wrong.err(),
            Some(UploadError::WrongOffset { expected: 400 })
        ));
    }
    send(&node.data, id, &bytes, 400..1000).await.unwrap();
    let after = send(&node.data, id, &bytes, 1000..1001).await;
    assert!(matches!(after, Err(UploadError::TooLong { .. })), "{after:?}");
    assert_eq!(
        shared(&node.data, id).await.data_hash,
        DataHash::of(&bytes[..1000])
    );
}

#[tokio::test]
async fn one_request_at_a_time_is_at_an_upload() {
    let world = World::new();
    let node = world.node(1).await;
    let bytes = data(SIZE);
    let id = begin(&node.data, SIZE, &terms(node.address())).await;
    let uploads = node.data.uploads();
    let mut first = uploads.write(KEY, id, 0, Counts::InParts).await.unwrap();
    first.write(bytes.slice(..5000)).await.unwrap();
    let second = uploads.write(KEY, id, 0, Counts::InParts).await;
    assert!(matches!(second.err(), Some(UploadError::Busy)));
    // A client whose connection is dead sends nothing any more: another one goes on.
    let mut second = eventually("the silent one makes way", async || {
        let at = offset(&node.data, id).await;
        uploads.write(KEY, id, at, Counts::InParts).await.ok()
    })
    .await;
    assert_eq!(offset(&node.data, id).await, 5000, "what it had sent counts");
    let overtaken = eventually("the first one learns it", async || {
        first.write(bytes.slice(5000..5001)).await.err()
    })
    .await;
    assert!(matches!(overtaken, UploadError::Busy), "{overtaken}");
    second.write(bytes.slice(5000..)).await.unwrap();
    second.finish().await.unwrap();
    assert_eq!(shared(&node.data, id).await.data_hash, DataHash::of(&bytes));
}

#[tokio::test]
async fn an_upload_belongs_to_the_key_that_began_it() {
    let world = World::new();
    let node = world.node(1).await;
    let id = begin(&node.data, 10, &terms(node.address())).await;
    let uploads = node.data.uploads();
    assert!(matches!(
        uploads.progress("key_2", id).await,
        Err(UploadError::Unknown)
    ));
    assert!(matches!(
        uploads.outcome("key_2", id).await,
        Err(UploadError::Unknown)
    ));
    assert!(matches!(
        uploads.remove("key_2", id).await,
        Err(UploadError::Unknown)
    ));
    let writer = uploads.write("key_2", id, 0, Counts::InParts).await;
    assert!(matches!(writer.err(), Some(UploadError::Unknown)));
}

#[tokio::test]
async fn uploads_are_bounded_for_each_key_and_in_all() {
    let world = World::new();
    let node = world.node(1).await;
    let bounded = with(
        &node,
        UploadsConfig {
            max_unfinished: 3,
            max_unfinished_per_key: 2,
            max_unfinished_bytes: 1000,
            max_unfinished_bytes_per_key: 600,
            ..UploadsConfig::default()
        },
    );
    let uploads = bounded.uploads();
    let to = [terms(node.address())];
    let nobody = uploads.begin(KEY, 1, &[]).await;
    assert!(
        matches!(nobody, Err(UploadError::Service(ServiceError::Invalid { .. }))),
        "{nobody:?}"
    );
    assert_eq!(uploads.max_size(), 600);
    assert!(matches!(
        uploads.begin(KEY, 601, &to).await,
        Err(UploadError::TooLarge { max: 600 })
    ));
    let empty = uploads.begin(KEY, 0, &to).await;
    assert!(
        matches!(empty, Err(UploadError::Service(ServiceError::Invalid { .. }))),
        "{empty:?}"
    );
    let first = uploads.begin(KEY, 500, &to).await.unwrap();
    assert!(
        matches!(uploads.begin(KEY, 101, &to).await, Err(UploadError::TooMany)),
        "bytes"
    );
    uploads.begin(KEY, 10, &to).await.unwrap();
    assert!(
        matches!(uploads.begin(KEY, 1, &to).await, Err(UploadError::TooMany)),
        "number"
    );
    assert!(
        matches!(uploads.begin("key_2", 500, &to).await, Err(UploadError::NoRoom)),
        "bytes"
    );
    uploads.begin("key_2", 10, &to).await.unwrap();
    assert!(
        matches!(uploads.begin("key_3", 1, &to).await, Err(UploadError::NoRoom)),
        "number"
    );
    uploads.remove(KEY, first.id).await.unwrap();
    uploads.begin(KEY, 500, &to).await.unwrap();
}

#[tokio::test]
async fn an_upload_whose_time_is_over_is_gone_with_what_had_come() {
    let world = World::new();
    let node = world.node(1).await;
    let bytes = data(SIZE);
    let short = UploadsConfig {
        expire_after_secs: 0,
        ..UploadsConfig::default()
    };
    let id = begin(&node.data, SIZE, &terms(node.address())).await;
    send(&node.data, id, &bytes, 0..SIZE / 2).await.unwrap();
    let soon = with(&node, short)
        .uploads()
        .begin(KEY, 10, &[terms(node.address())])
        .await
        .unwrap();
    let expired = node.data.uploads().progress(KEY, soon.id).await;
    assert!(matches!(expired, Err(UploadError::Expired)), "{expired:?}");
    node.data.catch_up().await;
    let gone = node.data.uploads().progress(KEY, soon.id).await;
    assert!(matches!(gone, Err(UploadError::Unknown)), "{gone:?}");
    assert_eq!(
        offset(&node.data, id).await,
        SIZE as u64 / 2,
        "the other one stays"
    );
}

#[tokio::test]
async fn an_upload_that_is_deleted_leaves_nothing() {
    let world = World::new();
    let node = world.node(1).await;
    let bytes = data(SIZE);
    let id = begin(&node.data, SIZE, &terms(node.address())).await;
    send(&node.data, id, &bytes, 0..SIZE - 1).await.unwrap();
    assert_eq!(node.objects.list_unfinished().await.unwrap(), [id]);
    let _writer = node
        .data
        .uploads()
        .write(KEY, id, SIZE as u64 - 1, Counts::InParts)
        .await
        .unwrap();
    node.data.uploads().remove(KEY, id).await.unwrap();
    assert!(node.objects.list_unfinished().await.unwrap().is_empty());
    let gone = node.data.uploads().progress(KEY, id).await;
    assert!(matches!(gone, Err(UploadError::Unknown)), "{gone:?}");
    assert_eq!(node.events().await, 0);
}
