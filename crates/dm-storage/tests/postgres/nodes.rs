//! The node whose database it is, and which of its processes changes anything.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use dm_core::{
    instance::InstanceId,
    lease::{Standing, in_epoch, in_turn},
    ports::{CatalogError, Leases, ShareCatalog, WriteBatch},
};
use dm_storage::SqliteCatalog;
use dm_testing::{
    catalog::samples::{address, data_hash, share},
    waiting::eventually,
};

use super::server::Database;

const LONG: Duration = Duration::from_secs(3600);

fn instance(n: u8) -> InstanceId {
    InstanceId([n; 16])
}

async fn open(database: &Database) -> SqliteCatalog {
    SqliteCatalog::open_postgres(database.options()).await.unwrap()
}

/// As where a process was suspended and replaced by one on another data directory.
#[tokio::test]
async fn once_another_has_led_a_process_on_its_own_files_changes_nothing_any_more() {
    let database = Database::new().await;
    let before = open(&database).await;
    let after = open(&database).await;
    let short = Duration::from_millis(1);
    let old = before.take_lease(instance(1), short).await.unwrap().unwrap();
    let before = before.while_last_leader(instance(1));
    // Its lease has ended, and nobody else has had it.
    before.commit_share(&share(1, 1).into()).await.unwrap();
    let new = eventually("the second leads", async || {
        after.take_lease(instance(2), LONG).await.unwrap()
    })
    .await;
    let after = after.while_last_leader(instance(2));
    for is_over in [false, true] {
        if is_over {
            assert!(after.give_back_lease(new).await.unwrap());
        }
        let refused = before.commit_share(&share(2, 1).into()).await;
        assert!(
            matches!(refused, Err(CatalogError::Unavailable(_))),
            "{refused:?}"
        );
        let refused = before.take_lease(instance(1), LONG).await;
        assert!(
            matches!(refused, Err(CatalogError::Unavailable(_))),
            "{refused:?}"
        );
        let late = share(2, 1).into();
        let refused = in_epoch(old, before.commit_share(&late)).await;
        assert!(matches!(refused, Err(CatalogError::NotLeading(_))), "{refused:?}");
        assert!(after.share(&data_hash(2), address(1)).await.unwrap().is_none());
    }
    after.commit_share(&share(3, 1).into()).await.unwrap();
    // A command beside the node is no instance.
    open(&database)
        .await
        .commit_share(&share(4, 1).into())
        .await
        .unwrap();
}

#[tokio::test]
async fn the_database_of_another_account_is_refused() {
    let database = Database::new().await;
    let own = || database.options().for_account(address(1));
    SqliteCatalog::open_postgres(own()).await.unwrap();
    let refused = SqliteCatalog::open_postgres(database.options().for_account(address(2))).await;
    assert!(
        matches!(refused, Err(CatalogError::Conflict(_))),
        "{:?}",
        refused.err()
    );
    SqliteCatalog::open_postgres(own()).await.unwrap();
}

/// As where an instance was suspended in its turn, and another one has taken the turn.
#[tokio::test]
async fn what_is_written_in_a_turn_that_was_taken_away_changes_nothing() {
    let database = Database::new().await;
    let (suspended, other) = (open(&database).await, open(&database).await);
    let standing = |value: Option<Bytes>| {
        let namespace = "turns".into();
        let key = Bytes::from_static(b"suspended");
        Arc::new(Standing {
            namespace,
            key,
            value,
        })
    };
    let mut times: Option<Bytes> = None;
    for n in [1, 10] {
        let before = standing(times.clone());
        in_turn(before.clone(), suspended.commit_share(&share(n, 1).into()))
            .await
            .unwrap();
        let next = Bytes::from(vec![u8::try_from(n).unwrap()]);
        let mut batch = WriteBatch::new();
        batch.expect(before.key.clone(), times.replace(next.clone()));
        batch.put(before.key.clone(), next);
        other.namespace("turns").commit(batch).await.unwrap();

        let (late, free) = (share(n + 1, 1).into(), share(n + 2, 1).into());
        let (refused, made) = futures::join!(
            in_turn(before.clone(), suspended.commit_share(&late)),
            suspended.commit_share(&free),
        );
        assert!(matches!(refused, Err(CatalogError::TurnLost)), "{refused:?}");
        made.unwrap();
        assert_eq!(other.share(&data_hash(n + 1), address(1)).await.unwrap(), None);
        // Also where it leads.
        let epoch = suspended.take_lease(instance(1), LONG).await.unwrap().unwrap();
        let refused = in_epoch(epoch, in_turn(before, suspended.commit_share(&late))).await;
        assert!(matches!(refused, Err(CatalogError::TurnLost)), "{refused:?}");
        suspended.give_back_lease(epoch).await.unwrap();
    }
}
