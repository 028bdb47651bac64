//! A PostgreSQL server that is ended with the test.

use std::{
    env,
    fs::OpenOptions,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use dm_storage::{PostgresOptions, SqliteCatalog};
use dm_testing::waiting::eventually;
use tempfile::TempDir;

use super::process::{is_running, kill_9};

/// Where Debian has its programs.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
pub(super) const PASSWORD: &str = "right-password";
/// Says the process of the server, and ends it when whoever started it is gone.
const RUN: &str = r#"
    "$0/postgres" -D "$1/data" -k "$1" -p "$2" -c listen_addresses=127.0.0.1 \
        -c max_connections=100 >>"$1/log" 2>&1 &
    echo $!
    cat >/dev/null
    kill -QUIT $! 2>/dev/null
    wait
"#;

pub(crate) struct Postgres {
    programs: PathBuf,
    folder: TempDir,
    port: u16,
    /// Its input is closed when this process ends.
    runner: Option<Child>,
    server: u32,
}

impl Postgres {
    /// `None` where there is no PostgreSQL; with `REQUIRE_POSTGRES=1` that fails the test.
    pub(crate) async fn running() -> Option<Self> {
        let programs = env::var_os("POSTGRES_BIN").map_or_else(|| PathBuf::from(PROGRAMS), PathBuf::from);
        if !programs.join("postgres").exists() {
            let required = env::var("REQUIRE_POSTGRES").is_ok_and(|value| value == "1");
            let place = programs.display();
            assert!(!required, "PostgreSQL is required, and there is none in {place}");
            eprintln!("skipped: there is no PostgreSQL in {place}; POSTGRES_BIN says where it is");
            return None;
        }
        let mut postgres = Self::in_new_folder(programs);
        let mut initdb = postgres.program("initdb");
        initdb.arg("-D").arg(postgres.data()).args([
            "-U",
            "postgres",
            "-A",
            "scram-sha-256",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
        ]);
        must_run(initdb.arg("--pwfile").arg(postgres.password_file()));
        postgres.start().await;
        Some(postgres)
    }

    /// A standby of this server, which follows it. From now on each commit is in both before
    /// anybody is told of it.
    pub(crate) async fn synchronous_standby(&self) -> Self {
        let mut standby = Self::in_new_folder(self.programs.clone());
        let mut copy = standby.program("pg_basebackup");
        copy.args(["-R", "-X", "stream", "-c", "fast", "-U", "postgres"])
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
            .arg("-D")
            .arg(standby.data())
            .env("PGPASSWORD", PASSWORD);
        must_run(&mut copy);
        standby.start().await;
        // After the copy: a standby that is promoted has none of its own yet.
        let mut settings = OpenOptions::new()
            .append(true)
            .open(self.data().join("postgresql.conf"))
            .unwrap();
        settings.write_all(b"synchronous_standby_names = '*'\n").unwrap();
        must_run(self.program("pg_ctl").arg("reload").arg("-D").arg(self.data()));
        standby
    }

    /// Makes a standby the server that takes writes.
    pub(crate) async fn promote(&self) {
        let mut promote = self.program("pg_ctl");
        promote.args(["promote", "-w", "-D"]).arg(self.data());
        // Clients go on meanwhile.
        let promoting = tokio::task::spawn_blocking(move || must_run(&mut promote));
        promoting.await.unwrap();
    }

    /// One that is not there yet.
    fn in_new_folder(programs: PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        std::fs::write(folder.path().join("password"), format!("{PASSWORD}\n")).unwrap();
        Self {
            programs,
            port: free_port(),
            folder,
            runner: None,
            server: 0,
        }
    }

    /// A program that comes with the server.
    fn program(&self, name: &str) -> Command {
        let mut command = unprivileged(&self.programs.join(name));
        command.current_dir(self.folder.path());
        command
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Where the database is, without the password.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// A file with the password of the database's user.
    pub(crate) fn password_file(&self) -> PathBuf {
        self.folder.path().join("password")
    }

    /// The catalog that it has, for whoever looks at it from outside.
    pub(crate) async fn catalog(&self) -> SqliteCatalog {
        let options = PostgresOptions::at(&self.url()).unwrap();
        let options = options.password_file(&self.password_file()).await.unwrap();
        SqliteCatalog::open_postgres(options).await.unwrap()
    }

    /// Ends it as a power failure of its process would.
    pub(crate) async fn kill(&self) {
        kill_9(self.server).await;
    }

    /// Starts it, or starts it again.
    pub(crate) async fn start(&mut self) {
        // A server that was killed leaves processes that end on their own, and until then
        // keep a new one from starting.
        for _ in 0..20 {
            self.run();
            let is_there = || async {
                let is_ready = self.takes_connections();
                (is_ready || !is_running(self.server)).then_some(is_ready)
            };
            if eventually("PostgreSQL takes connections or ends", is_there).await {
                return;
            }
        }
        let log = std::fs::read_to_string(self.folder.path().join("log"));
        panic!("PostgreSQL does not start: {log:?}");
    }

    /// It listens before it does.
    fn takes_connections(&self) -> bool {
        let asked = self
            .program("pg_isready")
            .args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()])
            .status();
        asked.unwrap().success()
    }

    fn run(&mut self) {
        self.stop();
        let mut runner = unprivileged(Path::new("sh"))
            .args(["-c", RUN])
            .arg(&self.programs)
            .arg(self.folder.path())
            .arg(self.port.to_string())
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(runner.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        self.server = line.trim().parse().unwrap();
        self.runner = Some(runner);
    }

    fn stop(&mut self) {
        if let Some(mut runner) = self.runner.take() {
            drop(runner.stdin.take());
            runner.wait().unwrap();
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn must_run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
}

/// A program under a user who may run PostgreSQL, which refuses root.
pub(super) fn unprivileged(program: &Path) -> Command {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"])
        .arg(program);
    command
}
