//! pgbouncer before a PostgreSQL server, ended with the test.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Stdio},
};

use tempfile::TempDir;
use tokio::net::TcpStream;

use super::{
    eventually,
    postgres::{PASSWORD, Postgres, free_port, unprivileged},
};

/// Connections to the server, which all instances share.
const CONNECTIONS: usize = 40;

pub(crate) struct Pooler {
    folder: TempDir,
    port: u16,
    process: Child,
}

impl Pooler {
    /// One in transaction mode, which listens. `None` where there is no pgbouncer; with
    /// `REQUIRE_PGBOUNCER=1` that fails the test.
    pub(crate) async fn before(server: &Postgres) -> Option<Self> {
        let program = program();
        if !Path::new(&program).exists() {
            let required = env::var("REQUIRE_PGBOUNCER").is_ok_and(|value| value == "1");
            assert!(!required, "pgbouncer is required, and there is no {program}");
            eprintln!("skipped: there is no {program}; PGBOUNCER says where it is");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let port = free_port();
        write_settings(folder.path(), port, server);
        let process = run(folder.path());
        let pooler = Self {
            folder,
            port,
            process,
        };
        pooler.listens().await;
        Some(pooler)
    }

    /// Where the database is for those who ask the pooler.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Ends it as a power failure of its process would, and starts it again.
    pub(crate) async fn restart(&mut self) {
        self.stop();
        self.process = run(self.folder.path());
        self.listens().await;
    }

    /// From now on it asks another server, as an operator makes it do with `RELOAD`.
    pub(crate) fn turn_to(&self, server: &Postgres) {
        write_settings(self.folder.path(), self.port, server);
        let pid = self.process.id().to_string();
        let sent = std::process::Command::new("kill").args(["-HUP", &pid]).status();
        assert!(sent.unwrap().success());
    }

    async fn listens(&self) {
        eventually("pgbouncer listens", || async {
            TcpStream::connect(("127.0.0.1", self.port)).await.ok().map(drop)
        })
        .await;
    }

    fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
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

/// With the server's password: clients need none.
fn write_settings(folder: &Path, port: u16, server: &Postgres) {
    let settings = format!(
        "[databases]\n* = host=127.0.0.1 port={} user=postgres password={PASSWORD}\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
         auth_type = any\npool_mode = transaction\ndefault_pool_size = {CONNECTIONS}\n\
         max_client_conn = 400\nserver_login_retry = 1\n",
        server.port()
    );
    fs::write(folder.join("settings"), settings).unwrap();
}

fn run(folder: &Path) -> Child {
    unprivileged(Path::new(&program()))
        .arg(folder.join("settings"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
