//! A PostgreSQL server that is ended with the test.

use std::{
    env,
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use dm_testing::waiting::eventually;
use tempfile::TempDir;

use super::process::kill_9;

/// Where Debian has its programs.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
const PASSWORD: &str = "right-password";
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
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let password = folder.path().join("password");
        std::fs::write(&password, format!("{PASSWORD}\n")).unwrap();
        let made = unprivileged(&programs.join("initdb"))
            .arg("-D")
            .arg(folder.path().join("data"))
            .args([
                "-U",
                "postgres",
                "-A",
                "scram-sha-256",
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
            ])
            .arg("--pwfile")
            .arg(&password)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut postgres = Self {
            programs,
            port: free_port(),
            folder,
            runner: None,
            server: 0,
        };
        postgres.start().await;
        Some(postgres)
    }

    /// Where the database is, without the password.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// A file with the password of the database's user.
    pub(crate) fn password_file(&self) -> PathBuf {
        self.folder.path().join("password")
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
            let process = PathBuf::from(format!("/proc/{}", self.server));
            let is_there = || async {
                let is_ready = self.takes_connections();
                (is_ready || !is_running(&process)).then_some(is_ready)
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
        let asked = unprivileged(&self.programs.join("pg_isready"))
            .args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()])
            .current_dir(self.folder.path())
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

/// Whether there is a process, and it has not ended.
fn is_running(process: &Path) -> bool {
    std::fs::read_to_string(process.join("stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A program under a user who may run PostgreSQL, which refuses root.
fn unprivileged(program: &Path) -> Command {
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
