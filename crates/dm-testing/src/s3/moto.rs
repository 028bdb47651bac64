//! `moto`, a server of others: `pip install 'moto[server]'`.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::waiting::PATIENCE;

/// Names the program where it is not on the path.
const PROGRAM: &str = "MOTO_SERVER";
/// Where it is set, a machine without the program is a failure.
const REQUIRED: &str = "REQUIRE_MOTO";

/// The server; one for all tests of a process, and ended with it.
pub struct Moto {
    url: String,
    address: String,
    buckets: AtomicU64,
    /// Its input ends with this process, and the server with its input.
    _process: Child,
}

impl Moto {
    /// The server; `None`, with a line that says so, where it is not installed.
    ///
    /// # Panics
    /// Where it does not start, and where it is missing and `REQUIRE_MOTO` is set.
    pub fn running() -> Option<&'static Self> {
        static MOTO: OnceLock<Option<Moto>> = OnceLock::new();
        let moto = MOTO.get_or_init(|| program().map(Self::start)).as_ref();
        if moto.is_none() {
            eprintln!(
                "skipped: moto_server is not installed (pip install 'moto[server]'), and {PROGRAM} does not name it"
            );
        }
        moto
    }

    fn start(program: PathBuf) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a port on the loopback interface")
            .port();
        let process = Command::new("sh")
            .args(["-c", "\"$0\" \"$@\" & read _; kill $!"])
            .arg(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let address = format!("127.0.0.1:{port}");
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(&address).is_err() {
            assert!(Instant::now() < deadline, "moto_server does not listen");
            thread::sleep(Duration::from_millis(50));
        }
        Self {
            url: format!("http://{address}"),
            address,
            buckets: AtomicU64::new(0),
            _process: process,
        }
    }

    /// The endpoint.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Makes a bucket and returns its name.
    ///
    /// # Panics
    /// Where the server does not make it.
    pub fn make_bucket(&self) -> String {
        let bucket = format!("bucket-{}", self.buckets.fetch_add(1, Ordering::Relaxed));
        let mut stream = TcpStream::connect(&self.address).expect("a connection to moto_server");
        let request = format!(
            "PUT /{bucket} HTTP/1.1\r\nhost: {}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            self.address
        );
        stream
            .write_all(request.as_bytes())
            .expect("a request to moto_server");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .expect("an answer of moto_server");
        assert!(answer.contains(" 200 "), "{answer}");
        bucket
    }
}

fn program() -> Option<PathBuf> {
    let on_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path)
            .map(|folder| folder.join("moto_server"))
            .find(|file| file.is_file())
    };
    let found = std::env::var_os(PROGRAM).map(PathBuf::from).or_else(on_path);
    assert!(
        found.is_some() || std::env::var_os(REQUIRED).is_none(),
        "{REQUIRED} is set, and moto_server is not found"
    );
    found
}
