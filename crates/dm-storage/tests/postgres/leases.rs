//! Instances on one database have one leader, by the clock of the server.

use std::time::Duration;

use dm_core::{
    clock::now_ms,
    instance::InstanceId,
    lease::{Epoch, in_epoch},
    ports::{CatalogError, Leases, ShareCatalog},
};
use dm_storage::SqliteCatalog;
use dm_testing::{
    catalog::{
        leases::assert_one_at_a_time,
        samples::{address, data_hash, share},
    },
    waiting::eventually,
};
use futures::future::join_all;
use sqlx::AssertSqlSafe;

use super::server::Database;

const LONG: Duration = Duration::from_secs(3600);
const INSTANCES: u8 = 4;

fn instance(n: u8) -> InstanceId {
    InstanceId([n; 16])
}

async fn open(database: &Database) -> SqliteCatalog {
    SqliteCatalog::open_postgres(database.options()).await.unwrap()
}

/// Lets the clock of the database go wrong by so much: its function is found before that of
/// the server.
async fn set_clock(database: &Database, ahead: &str) {
    let sql = format!(
        "CREATE SCHEMA IF NOT EXISTS wrong;
         CREATE OR REPLACE FUNCTION wrong.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS
             $$ SELECT pg_catalog.clock_timestamp() + INTERVAL '{ahead}' $$;
         ALTER DATABASE {} SET search_path = public, wrong, pg_catalog",
        database.name
    );
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut database.raw().await)
        .await
        .unwrap();
}

/// The time of the server, as the catalog asks for it.
async fn clock(database: &Database) -> u64 {
    let now: i64 = sqlx::query_scalar("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)")
        .fetch_one(&mut database.raw().await)
        .await
        .unwrap();
    now.unsigned_abs()
}

#[tokio::test]
async fn of_instances_that_ask_at_once_one_leads() {
    let database = Database::new().await;
    let catalogs = join_all((0..INSTANCES).map(|_| open(&database))).await;
    for round in 0..10 {
        let asked = (0..)
            .zip(&catalogs)
            .map(|(n, catalog)| catalog.take_lease(instance(n), LONG));
        let taken: Vec<Option<Epoch>> = join_all(asked).await.into_iter().map(Result::unwrap).collect();
        let leaders: Vec<(usize, Epoch)> = taken
            .into_iter()
            .enumerate()
            .filter_map(|(n, epoch)| Some((n, epoch?)))
            .collect();
        assert_eq!(leaders.len(), 1, "{leaders:?}");
        let (leader, epoch) = leaders[0];
        assert_eq!(epoch, Epoch(round + 1));
        for catalog in &catalogs {
            let lease = catalog.lease().await.unwrap().unwrap();
            assert_eq!(lease.instance, instance(u8::try_from(leader).unwrap()));
        }
        assert!(catalogs[leader].give_back_lease(epoch).await.unwrap());
    }
    assert_one_at_a_time(&catalogs[0].leases(Epoch(0), 99).await.unwrap());
}

#[tokio::test]
async fn what_time_an_instance_believes_it_is_does_not_matter() {
    let database = Database::new().await;
    set_clock(&database, "1 hour").await;
    let catalog = open(&database).await;
    let before = clock(&database).await;
    let epoch = catalog.take_lease(instance(1), LONG).await.unwrap().unwrap();
    let after = clock(&database).await;
    let lease = catalog.lease().await.unwrap().unwrap();
    assert!((before..=after).contains(&lease.taken_at));
    assert!(lease.taken_at > now_ms() + 30 * 60 * 1000);
    let share = share(1, 1).into();
    in_epoch(epoch, catalog.commit_share(&share)).await.unwrap();
    assert!(catalog.renew_lease(epoch, LONG).await.unwrap());
}

/// As where a standby takes over whose clock is wrong.
#[tokio::test]
async fn a_clock_that_is_set_back_does_not_keep_a_dead_leader() {
    let database = Database::new().await;
    set_clock(&database, "1 hour").await;
    let (dead, other) = (open(&database).await, open(&database).await);
    let lasts = Duration::from_millis(500);
    let epoch = dead.take_lease(instance(1), lasts).await.unwrap().unwrap();
    set_clock(&database, "0").await;
    assert_eq!(other.lease().await.unwrap(), None);
    let next = eventually("another leads", async || {
        other.take_lease(instance(2), lasts).await.unwrap()
    })
    .await;
    assert!(next > epoch);
    assert_eq!(other.leases(Epoch(0), 9).await.unwrap().len(), 2);
}

/// As where the leader was suspended between its decision and its write.
#[tokio::test]
async fn a_write_that_waited_for_the_lock_past_the_lease_changes_nothing() {
    let database = Database::new().await;
    let (leader, other) = (open(&database).await, open(&database).await);
    let lasts = Duration::from_millis(500);
    let epoch = leader.take_lease(instance(1), lasts).await.unwrap().unwrap();
    let mut lock = database.raw().await;
    sqlx::raw_sql("BEGIN; SELECT 1 FROM catalog_head FOR UPDATE")
        .execute(&mut lock)
        .await
        .unwrap();
    let writing = tokio::spawn(in_epoch(epoch, async move {
        leader.commit_share(&share(1, 1).into()).await
    }));
    eventually("the write waits for the lock", async || {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_one(&mut database.raw().await)
        .await
        .unwrap();
        (waiting > 0).then_some(())
    })
    .await;
    eventually("the lease has ended", async || {
        other.lease().await.unwrap().is_none().then_some(())
    })
    .await;
    sqlx::raw_sql("COMMIT").execute(&mut lock).await.unwrap();
    let refused = writing.await.unwrap();
    assert!(
        matches!(refused, Err(CatalogError::NotLeading(of)) if of == epoch),
        "{refused:?}"
    );
    assert_eq!(other.share(&data_hash(1), address(1)).await.unwrap(), None);
}

#[tokio::test]
async fn what_a_leader_writes_after_another_has_taken_over_changes_nothing() {
    let database = Database::new().await;
    let (first, second) = (open(&database).await, open(&database).await);
    let old = first
        .take_lease(instance(1), Duration::from_millis(1))
        .await
        .unwrap()
        .unwrap();
    let new = eventually("the second leads", async || {
        second.take_lease(instance(2), LONG).await.unwrap()
    })
    .await;
    let (old_share, new_share) = (share(1, 1).into(), share(2, 1).into());
    let (refused, made) = futures::join!(
        in_epoch(old, first.commit_share(&old_share)),
        in_epoch(new, second.commit_share(&new_share))
    );
    assert!(
        matches!(refused, Err(CatalogError::NotLeading(of)) if of == old),
        "{refused:?}"
    );
    made.unwrap();
    assert_eq!(first.share(&data_hash(1), address(1)).await.unwrap(), None);
    assert!(first.share(&data_hash(2), address(1)).await.unwrap().is_some());
}
