//! Several instances over one database and one bucket.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use dm_core::{
    Address,
    ports::{KeptLimits, Signer, StoreError, storage_cost},
};
use dm_storage::Storage;
use dm_testing::{objects::SampleObject, signer::TestSigner, waiting::eventually};
use futures::future::join_all;
use sqlx::PgConnection;
use tempfile::tempdir;

use super::{Shared, assert_stored, large, middle, small};

/// Where a body would be of an epoch that has ended; the last one in the order of the keys.
const STRAY: &str = "/bucket/node/bodies/ff/000000000000000000000000000000ff";
/// As if all instances had been silent since 1970.
const SILENCE_ALL: &str = "UPDATE object_entries SET value = '\\x0000000000000000' \
    WHERE part = 0 AND key BETWEEN 'writer/'::bytea AND 'writer0'::bytea";

/// Opens another instance, and closes it when it has looked through the bucket.
async fn collect(shared: &Shared) {
    shared.bucket.set_object(STRAY, Some(b"stray".to_vec()));
    let folder = tempdir().unwrap();
    let storage = shared.open(folder.path()).await;
    eventually("the bucket was looked through", async || {
        shared.bucket.object(STRAY).is_none().then_some(())
    })
    .await;
    storage.close().await.unwrap();
}

async fn silence_all(raw: &mut PgConnection) {
    sqlx::raw_sql(SILENCE_ALL).execute(raw).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_instance_does_another_sees_at_once() {
    let (shared, folders) = (Shared::new().await, [tempdir().unwrap(), tempdir().unwrap()]);
    let first = shared.open(folders[0].path()).await;
    let second = shared.open(folders[1].path()).await;
    for object in [small(1), middle(2)] {
        object.store_in(&*first.objects()).await.unwrap();
        // Both have read it, and might keep it in memory.
        assert_stored(&first, &object).await;
        assert_stored(&second, &object).await;

        let newer = object.envelope_with_sequence(1, 2);
        assert!(second.objects().replace_envelope(&newer).await.unwrap());
        let seen = first.objects().envelope(&object.id()).await.unwrap();
        assert_eq!(seen.unwrap().sequence, 2);
        let stale = first.objects().replace_envelope(&newer).await.unwrap();
        assert!(!stale, "it is stored already");

        assert!(second.objects().remove(&object.id()).await.unwrap());
        assert!(first.objects().envelope(&object.id()).await.unwrap().is_none());
        assert!(matches!(
            first.objects().chunk(&object.id(), 0).await,
            Err(StoreError::Missing)
        ));
        assert!(!first.objects().remove(&object.id()).await.unwrap());
    }
    assert!(shared.bodies().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_hold_for_all_instances_together() {
    let (shared, folders) = (Shared::new().await, [tempdir().unwrap(), tempdir().unwrap()]);
    let objects: Vec<_> = (0..40).map(|seed| SampleObject::new(2, seed, 500)).collect();
    let limits = KeptLimits {
        account: TestSigner::new(1).address(),
        own: 0,
        foreign: 10 * storage_cost(&objects[0].envelope),
    };
    let first = shared.open_within(folders[0].path(), limits).await;
    let second = shared.open_within(folders[1].path(), limits).await;
    let stored = join_all(objects.iter().enumerate().map(|(n, object)| {
        let storage = if n % 2 == 0 { &first } else { &second };
        async move { object.store_in(&*storage.objects()).await }
    }))
    .await;
    assert_eq!(stored.iter().filter(|outcome| outcome.is_ok()).count(), 10);
    for storage in [&first, &second] {
        eventually("both count the same", async || {
            (storage.quota().kept().foreign == limits.foreign).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_by_one_instance_is_told_to_the_follower_of_another() {
    let (shared, folders) = (Shared::new().await, [tempdir().unwrap(), tempdir().unwrap()]);
    let follower = shared.open(folders[0].path()).await;
    let other = shared.open(folders[1].path()).await;
    let changes = follower.changes();
    let mut after = None;
    for seed in 1..4 {
        // In turn, so that each must go on behind the other.
        let writer = if seed % 2 == 0 { &follower } else { &other };
        small(seed).store_in(&*writer.objects()).await.unwrap();
        let found = eventually("the change is told", async || {
            let waited = tokio::time::timeout(Duration::from_secs(60), changes.wait()).await;
            waited.unwrap();
            let found = changes.unsettled(after, 9).await.unwrap();
            (!found.is_empty()).then_some(found)
        })
        .await;
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].object, small(seed).id());
        after = Some(found[0].position);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_instance_is_writing_is_not_collected() {
    let (shared, folder) = (Shared::new().await, tempdir().unwrap());
    let storage = shared.open(folder.path()).await;
    let object = large(1);
    let mut writer = storage.objects().create().await.unwrap();
    for chunk in &object.chunks {
        writer.append(chunk.clone()).await.unwrap();
    }
    assert_eq!(shared.bucket.uploads(), 1, "parts are sent while more is coming");
    collect(&shared).await;
    assert_eq!(shared.bucket.uploads(), 1);
    writer.finish(&object.envelope).await.unwrap();
    collect(&shared).await;
    assert_stored(&storage, &object).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_was_silent_loses_what_it_was_writing_and_goes_on() {
    let (shared, folder) = (Shared::new().await, tempdir().unwrap());
    let storage = shared.open(folder.path()).await;
    middle(1).store_in(&*storage.objects()).await.unwrap();
    let object = large(2);
    let mut writer = storage.objects().create().await.unwrap();
    for chunk in &object.chunks {
        writer.append(chunk.clone()).await.unwrap();
    }
    let mut raw = shared.database.raw().await;
    // The instance may give a sign of life in between.
    while shared.bucket.uploads() > 0 {
        silence_all(&mut raw).await;
        collect(&shared).await;
    }
    let refused = writer.finish(&object.envelope).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    eventually("another epoch has begun", async || {
        object.store_in(&*storage.objects()).await.ok()
    })
    .await;
    collect(&shared).await;
    assert_stored(&storage, &middle(1)).await;
    assert_stored(&storage, &object).await;
    eventually("nothing else is in the bucket", async || {
        (shared.bodies().len() == 2).then_some(())
    })
    .await;
}

/// One that was killed is silent after a minute, and one that was closed at once.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_instance_has_left_is_collected_by_another() {
    let (shared, folder) = (Shared::new().await, tempdir().unwrap());
    let storage = shared.open(folder.path()).await;
    let mut writer = storage.objects().create().await.unwrap();
    for chunk in &large(1).chunks {
        writer.append(chunk.clone()).await.unwrap();
    }
    // As a process that is killed: nobody tidies up.
    std::mem::forget(writer);
    storage.close().await.unwrap();
    let orphan = "/bucket/node/bodies/00/00000000000000010000000000000100";
    shared.bucket.set_object(orphan, Some(b"orphan".to_vec()));
    collect(&shared).await;
    assert_eq!(shared.bucket.uploads(), 0);
    assert!(shared.bodies().is_empty());
}

/// Writes, reads and removes until it is over; what stays.
async fn work(storage: &Storage, client: u64, is_over: &AtomicBool, rounds: &AtomicU64) -> Vec<SampleObject> {
    let (store, mut stay) = (storage.objects(), Vec::new());
    for round in 0.. {
        if is_over.load(Ordering::SeqCst) {
            break;
        }
        let seed = 1_000 * client + round;
        let object = if round % 3 == 0 { middle(seed) } else { small(seed) };
        object.store_in(&*store).await.unwrap();
        assert!(object.is_in(&*store).await);
        if round % 2 == 0 {
            stay.push(object);
        } else {
            assert!(store.remove(&object.id()).await.unwrap());
        }
        rounds.fetch_add(1, Ordering::SeqCst);
    }
    stay
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_nothing_is_left_while_instances_write_remove_and_collect() {
    let (shared, folders) = (Shared::new().await, [tempdir().unwrap(), tempdir().unwrap()]);
    let limits = KeptLimits {
        account: Address::ZERO,
        own: u64::MAX,
        foreign: u64::MAX,
    };
    let first = shared.open_within(folders[0].path(), limits).await;
    let second = shared.open_within(folders[1].path(), limits).await;
    let (is_over, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
    let working = join_all((0..6).map(|client| {
        let storage = if client % 2 == 0 { &first } else { &second };
        work(storage, client, &is_over, &rounds)
    }));
    let collecting = async {
        while rounds.load(Ordering::SeqCst) < 120 {
            collect(&shared).await;
        }
        is_over.store(true, Ordering::SeqCst);
    };
    let (stay, ()) = futures::join!(working, collecting);
    let stay: Vec<SampleObject> = stay.into_iter().flatten().collect();
    collect(&shared).await;
    for storage in [&first, &second] {
        for object in &stay {
            assert_stored(storage, object).await;
        }
        let kept = stay
            .iter()
            .map(|object| storage_cost(&object.envelope))
            .sum::<u64>();
        eventually("what is kept is counted", async || {
            (storage.quota().kept().foreign == kept).then_some(())
        })
        .await;
        assert_eq!(
            storage.objects().usage().await.unwrap().objects,
            stay.len() as u64
        );
    }
    let in_bucket = stay.iter().filter(|object| object.chunks.len() > 1).count();
    eventually("the bucket has what stays, and nothing else", async || {
        (shared.bodies().len() == in_bucket).then_some(())
    })
    .await;
}
