//! A peer of `iroh-blobs` that does what it is told on its standard input, one command a line,
//! and answers each with one line of JSON. `examples/load` runs two of them beside two nodes.
//!
//! | command | does |
//! | --- | --- |
//! | `add BYTES` | stores so many bytes and syncs them: `hash`, `millis` |
//! | `objects COUNT BYTES` | stores so many objects of so many bytes: `hashes` |
//! | `download PEER HASH` | fetches: `millis` without sync, `synced` with it, `read` with reading all |
//! | `each PEER PARALLEL HASH…` | fetches objects, so many at once: `millis` of each |
//!
//! Its first line is its own address, as `PEER` is given.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, bail, ensure};
use iroh::{
    Endpoint, EndpointAddr, RelayMode,
    endpoint::{Connection, presets},
    protocol::Router,
};
use iroh_blobs::{
    ALPN, BlobsProtocol, Hash,
    api::proto::ExportRangesItem,
    store::fs::FsStore,
};
use n0_future::{BufferedStreamExt, StreamExt, stream};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

/// Bytes of a piece that is added.
const PIECE: usize = 1 << 20;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = std::env::args_os()
        .nth(1)
        .context("usage: iroh-blobs-peer FOLDER")?;
    let peer = Peer::start(Path::new(&folder)).await?;
    println!("{}", peer.address()?);
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let words: Vec<&str> = line.split_whitespace().collect();
        println!("{}", peer.obey(&words).await?);
    }
    peer.router.shutdown().await?;
    Ok(())
}

struct Peer {
    folder: PathBuf,
    store: FsStore,
    router: Router,
}

impl Peer {
    /// On loopback alone: no relay, nobody is looked up.
    async fn start(folder: &Path) -> anyhow::Result<Self> {
        let endpoint = Endpoint::builder(presets::Minimal)
            .relay_mode(RelayMode::Disabled)
            .clear_ip_transports()
            .bind_addr("127.0.0.1:0")?
            .bind()
            .await?;
        let store = FsStore::load(folder).await?;
        let blobs = BlobsProtocol::new(&store, None);
        Ok(Self {
            folder: folder.to_owned(),
            store,
            router: Router::builder(endpoint).accept(ALPN, blobs).spawn(),
        })
    }

    fn address(&self) -> anyhow::Result<String> {
        let endpoint = self.router.endpoint();
        let socket = endpoint.bound_sockets().first().copied().context("a socket")?;
        Ok(format!("{}@{socket}", endpoint.id()))
    }

    async fn obey(&self, command: &[&str]) -> anyhow::Result<Value> {
        match command {
            ["add", bytes] => self.add(bytes.parse()?).await,
            ["objects", count, bytes] => self.add_objects(count.parse()?, bytes.parse()?).await,
            ["download", peer, hash] => self.download(peer, hash.parse()?).await,
            ["each", peer, parallel, hashes @ ..] => {
                let hashes: Result<Vec<Hash>, _> = hashes.iter().map(|hash| hash.parse()).collect();
                self.fetch_each(peer, parallel.parse()?, hashes?).await
            }
            _ => bail!("there is no command {command:?}"),
        }
    }

    async fn add(&self, bytes: usize) -> anyhow::Result<Value> {
        let began = Instant::now();
        let pieces = (0..bytes.div_ceil(PIECE)).map(move |number| {
            let mut piece = vec![0; PIECE.min(bytes - number * PIECE)];
            stamp(&mut piece, number);
            Ok(piece.into())
        });
        let adding = self.store.blobs().add_stream(stream::iter(pieces)).await;
        let tag = adding.with_tag().await?;
        self.sync().await?;
        Ok(json!({"hash": tag.hash.to_string(), "millis": millis(began)}))
    }

    async fn add_objects(&self, count: usize, bytes: usize) -> anyhow::Result<Value> {
        let mut hashes = Vec::new();
        for number in 0..count {
            let mut object = vec![0; bytes];
            stamp(&mut object, number);
            hashes.push(
                self.store
                    .blobs()
                    .add_bytes(object)
                    .with_tag()
                    .await?
                    .hash
                    .to_string(),
            );
        }
        Ok(json!({"hashes": hashes}))
    }

    async fn download(&self, peer: &str, hash: Hash) -> anyhow::Result<Value> {
        let connection = self.connect(peer).await?;
        let began = Instant::now();
        let fetch = self.store.remote().fetch(connection, hash);
        let size = fetch.complete().await?.payload_bytes_read;
        let downloaded = millis(began);
        self.sync().await?;
        let synced = millis(began);
        let mut read = 0;
        let mut ranges = self.store.blobs().export_ranges(hash, 0..size).stream();
        while let Some(item) = ranges.next().await {
            match item {
                ExportRangesItem::Data(leaf) => read += leaf.data.len() as u64,
                ExportRangesItem::Error(error) => return Err(error.into()),
                ExportRangesItem::Size(_) => {}
            }
        }
        ensure!(read == size, "{read} of {size} bytes were read");
        Ok(json!({"millis": downloaded, "synced": synced, "read": millis(began)}))
    }

    async fn fetch_each(&self, peer: &str, parallel: usize, hashes: Vec<Hash>) -> anyhow::Result<Value> {
        let connection = self.connect(peer).await?;
        let fetches = hashes.into_iter().map(|hash| {
            let (connection, store) = (connection.clone(), self.store.clone());
            async move {
                let began = Instant::now();
                store.remote().fetch(connection, hash).complete().await?;
                let bytes = store.blobs().get_bytes(hash).await?;
                ensure!(!bytes.is_empty(), "an object is empty");
                Ok(millis(began))
            }
        });
        let mut fetched = stream::iter(fetches).buffered_unordered(parallel);
        let mut took = Vec::new();
        while let Some(each) = fetched.next().await {
            took.push(each?);
        }
        Ok(json!({"millis": took}))
    }

    async fn connect(&self, peer: &str) -> anyhow::Result<Connection> {
        let (id, socket) = peer.split_once('@').context("ID@ADDRESS")?;
        let socket: SocketAddr = socket.parse()?;
        let address = EndpointAddr::new(id.parse()?).with_ip_addr(socket);
        Ok(self.router.endpoint().connect(address, ALPN).await?)
    }

    /// Makes durable what the store has.
    async fn sync(&self) -> anyhow::Result<()> {
        self.store.sync_db().await?;
        let folder = self.folder.clone();
        tokio::task::spawn_blocking(move || sync_files(&folder)).await?
    }
}

fn sync_files(folder: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sync_files(&path)?;
        } else {
            std::fs::File::open(&path)?.sync_all()?;
        }
    }
    Ok(std::fs::File::open(folder)?.sync_all()?)
}

/// Makes a piece differ from all others.
fn stamp(piece: &mut [u8], number: usize) {
    let number = (number as u64 + 1).to_le_bytes();
    let length = piece.len().min(number.len());
    piece[..length].copy_from_slice(&number[..length]);
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}
