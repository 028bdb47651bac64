//! A PostgreSQL server for the tests, and databases in it.

use std::{
    env,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use dm_storage::PostgresOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// Where Debian has its programs.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
/// Runs the server until whoever started it is gone, however it ends, and removes its files.
const RUN_AND_CLEAN: &str = r#"
    "$0/initdb" -D "$1/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 >"$1/log" 2>&1 || exit 1
    "$0/postgres" -D "$1/data" -k "$1" -p "$2" -c listen_addresses=127.0.0.1 \
        -c max_connections=400 -c fsync=off >>"$1/log" 2>&1 &
    server=$!
    cat >/dev/null
    kill -QUIT $server
    wait $server
    rm -rf "$1"
"#;

/// The server of this process.
struct Server {
    port: u16,
    /// Its input is closed when this process ends.
    _process: Child,
}

static SERVER: OnceLock<Server> = OnceLock::new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

impl Server {
    fn start() -> Self {
        let programs = env::var_os("POSTGRES_BIN").map_or_else(|| PathBuf::from(PROGRAMS), PathBuf::from);
        assert!(
            programs.join("postgres").exists(),
            "these tests need PostgreSQL: there is none in {}; POSTGRES_BIN says where it is",
            programs.display()
        );
        let folder = tempfile::tempdir().unwrap().keep();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let process = unprivileged("sh")
            .args(["-c", RUN_AND_CLEAN])
            .arg(&programs)
            .arg(&folder)
            .arg(port.to_string())
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            port,
            _process: process,
        }
    }
}

/// A program under a user who may run PostgreSQL, which refuses root.
pub(crate) fn unprivileged(program: &str) -> Command {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| {
        use std::os::unix::fs::MetadataExt;
        own.uid() == 0
    });
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", program]);
    command
}

/// A new database, by its port and name.
pub(crate) struct Database {
    pub(crate) port: u16,
    pub(crate) name: String,
}

impl Database {
    pub(crate) async fn new() -> Self {
        let port = SERVER.get_or_init(Server::start).port;
        let name = format!("catalog{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let mut connection = admin(port).await;
        sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .execute(&mut connection)
            .await
            .unwrap();
        Self { port, name }
    }

    pub(crate) fn options(&self) -> PostgresOptions {
        self.options_at(self.port)
    }

    /// As it is reached at another port.
    pub(crate) fn options_at(&self, port: u16) -> PostgresOptions {
        let options = PostgresOptions::at(&format!("postgres://postgres@127.0.0.1:{port}/{}", self.name));
        options.unwrap().readers(3)
    }

    /// A bare connection.
    pub(crate) async fn raw(&self) -> PgConnection {
        let url = format!("postgres://postgres@127.0.0.1:{}/{}", self.port, self.name);
        PgConnection::connect(&url).await.unwrap()
    }

    /// Cuts all connections to the database.
    pub(crate) async fn cut_all(&self) {
        sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()",
        )
        .bind(&self.name)
        .fetch_all(&mut admin(self.port).await)
        .await
        .unwrap();
    }
}

/// Waits for the server, which may be about to start.
async fn admin(port: u16) -> PgConnection {
    let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
    for _ in 0..300 {
        if let Ok(connection) = PgConnection::connect(&url).await {
            return connection;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("PostgreSQL does not start");
}
