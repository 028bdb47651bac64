//! The database goes away in the middle of things.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use dm_core::{
    journal::Topics,
    ports::{EventJournal, ShareCatalog, ShareInsert},
};
use dm_storage::SqliteCatalog;
use dm_testing::catalog::samples::{address, data_hash, share};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::server::Database;

const PASS: u8 = 0;
pub(super) const LOSE_COMMIT: u8 = 1;
pub(super) const LOSE_ANSWER: u8 = 2;
/// More than enough for a commit.
const COMMIT_TIME: Duration = Duration::from_millis(300);

/// Stands between a store and its database, and cuts the next commit.
pub(super) struct Cutter {
    pub(super) port: u16,
    next: Arc<AtomicU8>,
}

impl Cutter {
    pub(super) async fn before(database: &Database) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let next = Arc::new(AtomicU8::new(PASS));
        let (server, cuts) = (database.port, next.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                tokio::spawn(pass(client, server, cuts.clone()));
            }
        });
        Self { port, next }
    }

    pub(super) fn at_next_commit(&self, what: u8) {
        self.next.store(what, Ordering::SeqCst);
    }

    pub(super) fn has_cut(&self) -> bool {
        self.next.load(Ordering::SeqCst) == PASS
    }
}

async fn pass(client: TcpStream, server: TcpStream, next: Arc<AtomicU8>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let mut answers = tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
        let message = &buffer[..read];
        let is_commit = message.windows(7).any(|bytes| bytes == b"COMMIT\0");
        let cut = if is_commit {
            next.swap(PASS, Ordering::SeqCst)
        } else {
            PASS
        };
        if cut == LOSE_ANSWER {
            answers.abort();
            let _ = (&mut answers).await;
        }
        if cut != LOSE_COMMIT {
            to_server.write_all(message).await.unwrap();
        }
        if cut == LOSE_ANSWER {
            // The server answers before it learns that nobody waits for it.
            tokio::time::sleep(COMMIT_TIME).await;
        }
        if cut != PASS {
            return;
        }
    }
    answers.abort();
}

async fn assert_made_once(cut: u8) {
    let database = Database::new().await;
    let cutter = Cutter::before(&database).await;
    let catalog = SqliteCatalog::open_postgres(database.options_at(cutter.port))
        .await
        .unwrap();
    for n in 0..5 {
        cutter.at_next_commit(cut);
        let made = catalog.commit_share(&share(n, 1).into()).await.unwrap();
        assert_eq!(made, ShareInsert::Inserted);
        assert!(cutter.has_cut());
    }
    let page = catalog.journal_page(&Topics::all(), 0, 100).await.unwrap();
    assert_eq!(page.events.len(), 5, "{page:?}");
    for n in 0..5 {
        assert!(catalog.share(&data_hash(n), address(1)).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_not_made_again() {
    assert_made_once(LOSE_ANSWER).await;
}

#[tokio::test]
async fn a_commit_that_is_lost_is_made_after_all() {
    assert_made_once(LOSE_COMMIT).await;
}

#[tokio::test]
async fn connections_that_are_cut_are_replaced() {
    let database = Database::new().await;
    let catalog = SqliteCatalog::open_postgres(database.options()).await.unwrap();
    for n in 0..5 {
        let made = catalog.commit_share(&share(n, 1).into()).await.unwrap();
        assert_eq!(made, ShareInsert::Inserted);
        let (hash, recipient) = (data_hash(n), address(1));
        let reads = (0..6).map(|_| catalog.share(&hash, recipient));
        assert!(
            futures::future::join_all(reads)
                .await
                .iter()
                .all(|read| read.as_ref().is_ok_and(Option::is_some))
        );
        database.cut_all().await;
        assert!(catalog.share(&hash, recipient).await.unwrap().is_some());
        database.cut_all().await;
    }
}

/// As where an instance is suspended in the middle of a transaction.
#[tokio::test]
async fn who_holds_the_lock_too_long_loses_it() {
    let database = Database::new().await;
    let catalog = SqliteCatalog::open_postgres(database.options()).await.unwrap();
    let mut other = database.raw().await;
    sqlx::raw_sql(
        "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '1s'; SELECT 1 FROM catalog_head FOR UPDATE",
    )
    .execute(&mut other)
    .await
    .unwrap();
    catalog.commit_share(&share(1, 1).into()).await.unwrap();
    assert!(sqlx::raw_sql("COMMIT").execute(&mut other).await.is_err());
}
