//! The database goes away in the middle of things.

use dm_core::ports::KeptLimits;
use dm_storage::Storage;
use tempfile::{TempDir, tempdir};

use super::{
    super::failures::{Cutter, LOSE_ANSWER, LOSE_COMMIT},
    Shared, assert_stored, middle, open, small,
};

/// An instance whose line to the database is cut at will.
async fn behind_cutter(shared: &Shared) -> (Storage, Cutter, TempDir) {
    let (folder, cutter) = (tempdir().unwrap(), Cutter::before(&shared.database).await);
    let database = shared.database.options_at(cutter.port);
    let opened = open(folder.path(), shared.config(), KeptLimits::NONE, database).await;
    (opened.unwrap(), cutter, folder)
}

async fn assert_made_once(cut: u8) {
    let shared = Shared::new().await;
    let (storage, cutter, _folder) = behind_cutter(&shared).await;
    for seed in 0..5 {
        cutter.at_next_commit(cut);
        small(seed).store_in(&*storage.objects()).await.unwrap();
        assert!(cutter.has_cut());
    }
    // Each change has taken one position.
    let changes = storage.changes().unsettled(None, 100).await.unwrap();
    assert_eq!(changes.len(), 5, "{changes:?}");
    assert_eq!(changes[4].position - changes[0].position, 4, "{changes:?}");
    assert_eq!(storage.objects().usage().await.unwrap().objects, 5);
    for seed in 0..5 {
        assert_stored(&storage, &small(seed)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_whose_commit_got_no_answer_is_stored_once() {
    assert_made_once(LOSE_ANSWER).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_whose_commit_was_lost_is_stored_after_all() {
    assert_made_once(LOSE_COMMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_cut_are_replaced() {
    let (shared, folder) = (Shared::new().await, tempdir().unwrap());
    let storage = shared.open(folder.path()).await;
    for seed in 0..5 {
        let object = if seed % 2 == 0 { small(seed) } else { middle(seed) };
        object.store_in(&*storage.objects()).await.unwrap();
        shared.database.cut_all().await;
        assert_stored(&storage, &object).await;
        shared.database.cut_all().await;
    }
}

/// As where an instance is suspended in the middle of a transaction.
#[tokio::test(flavor = "multi_thread")]
async fn who_holds_the_lock_of_the_objects_too_long_loses_it() {
    let (shared, folder) = (Shared::new().await, tempdir().unwrap());
    let storage = shared.open(folder.path()).await;
    let mut other = shared.database.raw().await;
    sqlx::raw_sql(
        "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '1s'; SELECT 1 FROM object_head FOR UPDATE",
    )
    .execute(&mut other)
    .await
    .unwrap();
    small(1).store_in(&*storage.objects()).await.unwrap();
    assert!(sqlx::raw_sql("COMMIT").execute(&mut other).await.is_err());
    assert_stored(&storage, &small(1)).await;
}
