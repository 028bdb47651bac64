//! What a share costs in the catalog: one `commit_share` with its object, then one event with two tree nodes, from
//! 64 callers. The peer is a loop on one bare sqlx connection that writes the
//! same rows, 64 shares to a transaction, with one prepared statement a row.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    cell::Cell,
    fs,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use criterion::{Criterion, criterion_group, criterion_main};
use dm_core::{
    event::EventKind,
    ports::{EventLog, ReadableObjects, ShareCatalog},
    share::NewShare,
};
use dm_storage::SqliteCatalog;
use dm_testing::catalog::samples::{address, data_hash, entries, event, node, readable, share};
use sqlx::{
    Connection, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode},
};
use tokio::runtime::Runtime;

/// Shares under way at the same time, and in one transaction of the peer.
const GROUP: u64 = 64;

/// CPU time that this process has taken, from `/proc/self/stat` in ticks of 10 ms.
fn cpu_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let (_, after_name) = stat.rsplit_once(')').unwrap();
    let ticks = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().unwrap());
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

/// Adds up what the groups of one benchmark took.
#[derive(Default)]
struct Meter {
    shares: Cell<u64>,
    wall: Cell<Duration>,
    cpu: Cell<Duration>,
}

impl Meter {
    fn measure(&self, groups: u64, work: impl FnOnce()) -> Duration {
        let (started, cpu) = (Instant::now(), cpu_time());
        work();
        let elapsed = started.elapsed();
        self.shares.set(self.shares.get() + groups * GROUP);
        self.wall.set(self.wall.get() + elapsed);
        self.cpu.set(self.cpu.get() + (cpu_time() - cpu));
        elapsed
    }

    fn cpu_per_share(&self) -> f64 {
        self.cpu.get().as_secs_f64() * 1e6 / self.shares.get() as f64
    }

    fn report(&self, name: &str) {
        let rate = self.shares.get() as f64 / self.wall.get().as_secs_f64();
        println!(
            "{name}: {rate:.0} shares/s, {:.1} µs of CPU each",
            self.cpu_per_share()
        );
    }
}

async fn share_group(catalog: &SqliteCatalog, next: &AtomicU64) {
    let first = next.fetch_add(GROUP, Ordering::Relaxed);
    let accepted = (first..first + GROUP).map(|n| async move {
        let share = NewShare {
            object: Some(readable(n, address(9))),
            ..NewShare::from(share(n, 1))
        };
        catalog.commit_share(&share).await.unwrap();
    });
    futures::future::join_all(accepted).await;
    let events = (first..first + GROUP).map(|n| event(EventKind::DataShare, n, 1));
    let nodes: Vec<_> = (2 * first..2 * (first + GROUP)).map(node).collect();
    catalog.append(&entries(first, events), &nodes).await.unwrap();
}

async fn bare_group(connection: &mut SqliteConnection, next: &AtomicU64) {
    let first = next.fetch_add(GROUP, Ordering::Relaxed);
    let mut transaction = connection.begin().await.unwrap();
    for n in first..first + GROUP {
        let hash = data_hash(n).as_bytes().to_vec();
        for insert in [
            "INSERT INTO shares (name, rest) VALUES (?, ?)",
            "INSERT INTO readable (name, rest) VALUES (?, ?)",
            "INSERT INTO events (name, rest) VALUES (?, ?)",
        ] {
            let rest = vec![0_u8; 120];
            sqlx::query(insert)
                .bind(hash.clone())
                .bind(rest)
                .execute(&mut *transaction)
                .await
                .unwrap();
        }
        for _ in 0..2 {
            let insert = sqlx::query("INSERT INTO nodes (hash) VALUES (?)").bind(hash.clone());
            insert.execute(&mut *transaction).await.unwrap();
        }
    }
    transaction.commit().await.unwrap();
}

async fn bare_connection(path: &std::path::Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    for table in ["shares", "readable", "events"] {
        let create = format!("CREATE TABLE {table} (id INTEGER PRIMARY KEY, name BLOB UNIQUE, rest BLOB)");
        sqlx::query(sqlx::AssertSqlSafe(create))
            .execute(&mut connection)
            .await
            .unwrap();
    }
    let create = "CREATE TABLE nodes (position INTEGER PRIMARY KEY, hash BLOB)";
    sqlx::query(create).execute(&mut connection).await.unwrap();
    connection
}

fn shares(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut group = criterion.benchmark_group("catalog");
    group.sample_size(10).measurement_time(Duration::from_secs(8));

    let catalog = runtime
        .block_on(SqliteCatalog::open(folder.path().join("catalog.db")))
        .unwrap();
    let (ours, next) = (Meter::default(), AtomicU64::new(0));
    group.bench_function("64 shares at once", |bencher| {
        bencher.iter_custom(|groups| {
            ours.measure(groups, || {
                runtime.block_on(async {
                    for _ in 0..groups {
                        share_group(&catalog, &next).await;
                    }
                });
            })
        });
    });

    let mut connection = runtime.block_on(bare_connection(&folder.path().join("bare.db")));
    let (bare, next) = (Meter::default(), AtomicU64::new(0));
    group.bench_function("64 shares in one transaction of bare sqlx", |bencher| {
        bencher.iter_custom(|groups| {
            bare.measure(groups, || {
                runtime.block_on(async {
                    for _ in 0..groups {
                        bare_group(&mut connection, &next).await;
                    }
                });
            })
        });
    });
    group.finish();
    ours.report("catalog");
    bare.report("bare sqlx");
    println!(
        "CPU, catalog to bare sqlx: {:.2}",
        ours.cpu_per_share() / bare.cpu_per_share()
    );
    runtime.block_on(catalog.close()).unwrap();
}

fn hot_reads(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let catalog = runtime
        .block_on(SqliteCatalog::open(folder.path().join("catalog.db")))
        .unwrap();
    runtime
        .block_on(catalog.put_readable(&readable(1, address(9))))
        .unwrap();
    let hash = data_hash(1);
    criterion.bench_function("a readable object that was asked for before", |bencher| {
        bencher
            .to_async(&runtime)
            .iter(|| async { catalog.readable(&hash).await.unwrap() });
    });
    criterion.bench_function("40 tree nodes", |bencher| {
        let nodes: Vec<_> = (0..4000).map(node).collect();
        // Nothing but the first run appends; the nodes are there afterwards.
        let _ = runtime.block_on(catalog.append(&[], &nodes));
        let positions: Vec<u64> = (0..40).map(|n| n * 97).collect();
        bencher
            .to_async(&runtime)
            .iter(|| async { catalog.tree_nodes(&positions).await.unwrap() });
    });
}

criterion_group!(benches, shares, hot_reads);
criterion_main!(benches);
