//! Through pgbouncer, which gives every transaction another connection of the server.

use std::{
    env, fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};

use dm_core::ports::{ShareCatalog, ShareInsert};
use dm_storage::{PostgresOptions, SqliteCatalog};
use dm_testing::catalog::samples::{address, data_hash, share};
use futures::future::join_all;
use tempfile::TempDir;

use super::server::{Database, unprivileged};

const INSTANCES: u64 = 3;
const SHARES_OF_EACH: u64 = 30;

struct Pooler {
    folder: TempDir,
    port: u16,
    process: Child,
}

impl Pooler {
    /// `None` where there is no pgbouncer; with `REQUIRE_PGBOUNCER=1` that fails the test.
    fn start(database: &Database) -> Option<Self> {
        let program = program();
        if !Path::new(&program).exists() {
            let required = env::var("REQUIRE_PGBOUNCER").is_ok_and(|value| value == "1");
            assert!(!required, "pgbouncer is required, and there is no {program}");
            eprintln!("skipped: there is no {program}");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        // Fewer connections of the server than there are callers.
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={} user=postgres\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = any\npool_mode = transaction\ndefault_pool_size = 4\nmax_client_conn = 200\n",
            database.port
        );
        fs::write(folder.path().join("settings"), settings).unwrap();
        let process = run(&program, folder.path());
        Some(Self {
            folder,
            port,
            process,
        })
    }

    fn restart(&mut self) {
        self.stop();
        self.process = run(&program(), self.folder.path());
    }

    fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn options(&self, database: &Database) -> PostgresOptions {
        database.options_at(self.port).through_pooler()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.stop();
    }
}

fn program() -> String {
    env::var("PGBOUNCER").unwrap_or_else(|_| "/usr/sbin/pgbouncer".to_owned())
}

fn run(program: &str, folder: &Path) -> Child {
    unprivileged(program)
        .arg(folder.join("settings"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Opened when the pooler listens.
async fn open(pooler: &Pooler, database: &Database) -> SqliteCatalog {
    for _ in 0..100 {
        if let Ok(catalog) = SqliteCatalog::open_postgres(pooler.options(database)).await {
            return catalog;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("pgbouncer does not start");
}

#[tokio::test]
async fn instances_share_a_pooler_that_is_restarted_in_between() {
    let database = Database::new().await;
    let Some(mut pooler) = Pooler::start(&database) else {
        return;
    };
    let mut catalogs = Vec::new();
    for _ in 0..INSTANCES {
        catalogs.push(open(&pooler, &database).await);
    }
    for round in 0..2 {
        join_all((0..).zip(&catalogs).map(|(instance, catalog)| async move {
            let first = (round * INSTANCES + instance) * SHARES_OF_EACH;
            join_all((first..first + SHARES_OF_EACH).map(|n| async move {
                let made = catalog.commit_share(&share(n, 1).into()).await.unwrap();
                assert_eq!(made, ShareInsert::Inserted);
                assert!(catalog.share(&data_hash(n), address(1)).await.unwrap().is_some());
            }))
            .await;
        }))
        .await;
        pooler.restart();
    }
}

#[tokio::test]
async fn instances_that_start_at_the_same_time_behind_a_pooler_all_open() {
    let database = Database::new().await;
    let Some(pooler) = Pooler::start(&database) else {
        return;
    };
    let first = open(&pooler, &database).await;
    for _ in 0..5 {
        let opening = (0..12).map(|_| SqliteCatalog::open_postgres(pooler.options(&database)));
        let working = (0..SHARES_OF_EACH).map(async |n| first.share(&data_hash(n), address(1)).await);
        let (opened, worked) = futures::join!(join_all(opening), join_all(working));
        worked
            .into_iter()
            .for_each(|found| assert_eq!(found.unwrap(), None));
        opened.into_iter().for_each(|opened| drop(opened.unwrap()));
    }
}
