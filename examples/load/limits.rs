//! What the machine can do at best: the figures that the node's are held against.

use std::{
    io::Write,
    process::Stdio,
    time::{Duration, Instant},
};

use actix_web::{App, HttpServer, web};
use anyhow::Context;
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// The argument that makes this program a server with an empty route.
pub(crate) const EMPTY_SERVER: &str = "--serve-empty-route";

/// A server that does nothing but answer, in a process of its own.
pub(crate) struct EmptyServer {
    pub(crate) api: String,
    _child: Child,
}

impl EmptyServer {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(EMPTY_SERVER)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
        let api = lines.next_line().await?.context("its address")?;
        Ok(Self { api, _child: child })
    }
}

/// Serves an empty route and prints the address.
pub(crate) async fn serve_empty_route() -> anyhow::Result<()> {
    let server = HttpServer::new(|| App::new().route("/", web::get().to(async || "")))
        .workers(2)
        .bind("127.0.0.1:0")?;
    println!("http://{}", server.addrs()[0]);
    Ok(server.run().await?)
}

/// MiB/s that both cores reach when each chunk is sealed with the `fernet`
/// crate and hashed twice: the plaintext and the sealed bytes.
pub(crate) fn sealing_rate() -> f64 {
    const CHUNK: usize = 256 * 1024;
    const PERIOD: Duration = Duration::from_secs(3);
    let threads: Vec<_> = (0..2)
        .map(|_| {
            std::thread::spawn(|| {
                let chunk = vec![7; CHUNK];
                let Some(key) = fernet::Fernet::new(&fernet::Fernet::generate_key()) else {
                    return 0.0;
                };
                let began = Instant::now();
                let mut sealed = 0;
                while began.elapsed() < PERIOD {
                    let token = key.encrypt(&chunk);
                    std::hint::black_box(Sha256::digest(&chunk));
                    std::hint::black_box(Sha256::digest(&token.as_bytes()[..CHUNK]));
                    sealed += 1;
                }
                f64::from(sealed) * CHUNK as f64 / 1_048_576.0 / began.elapsed().as_secs_f64()
            })
        })
        .collect();
    threads
        .into_iter()
        .map(|thread| thread.join().unwrap_or_default())
        .sum()
}

/// MiB/s at which a file of `mebibytes` MiB is written, and synced in the end.
pub(crate) fn disk_rate(mebibytes: usize) -> anyhow::Result<f64> {
    let mut file = tempfile::tempfile()?;
    let piece = vec![7; 1 << 20];
    let began = Instant::now();
    for _ in 0..mebibytes {
        file.write_all(&piece)?;
    }
    file.sync_data()?;
    Ok(mebibytes as f64 / began.elapsed().as_secs_f64())
}
