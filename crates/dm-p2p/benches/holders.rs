//! A fetch from three holders, each limited to a third of the link, compared
//! with a fetch from one of them in the same run:
//! `cargo bench -p dm-p2p --bench holders`.
//!
//! A proxy before each holder lets bytes pass at the limited rate.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use dm_core::{
    Address,
    bus::EventBus,
    ports::{Found, Network},
    tasks::Supervisor,
    testing::{
        catalog::MemoryCatalog,
        objects::{MemoryObjectStore, SampleObject},
    },
    trace::Trace,
};
use dm_p2p::{Identity, P2p, P2pOptions};
use futures::StreamExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

const SIZE: u64 = 48 << 20;
const HOLDERS: usize = 3;
/// A third of a link of 24 MiB/s.
const BYTES_PER_SECOND: f64 = (8 << 20) as f64;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let supervisor = Supervisor::new();
        let store = Arc::new(MemoryObjectStore::new());
        let object = SampleObject::new(1, 7, SIZE);
        object.store_in(&*store).await.expect("the store works");
        let (mut holders, mut addresses) = (Vec::new(), Vec::new());
        for _ in 0..HOLDERS {
            let holder = start(store.clone(), Vec::new(), &supervisor).await;
            addresses.push(limited(&holder).await);
            holders.push(holder);
        }
        let reader = start(Arc::default(), addresses, &supervisor).await;
        while reader.stats().active_peers < HOLDERS as u64 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let from = async |count: usize| {
            let found = Found {
                envelope: object.envelope.clone(),
                holders: holders[..count]
                    .iter()
                    .map(|holder| holder.local_peer_id())
                    .collect(),
            };
            fetch(&reader, &found).await
        };
        let (one, three) = (from(1).await, from(HOLDERS).await);
        println!("one holder      {one:>8.1} MiB/s");
        println!("three holders   {three:>8.1} MiB/s");
        println!("ratio           {:>8.2}", three / one);
        supervisor.shut_down(Duration::from_secs(10)).await;
    });
}

async fn start(
    store: Arc<MemoryObjectStore>,
    initial_peers: Vec<String>,
    supervisor: &Supervisor,
) -> Arc<P2p> {
    let mut options = P2pOptions::new(Identity::generate(), Address::ZERO);
    options.network.host = IpAddr::from([127, 0, 0, 1]);
    options.initial_peers = initial_peers;
    let peers = Arc::new(MemoryCatalog::new());
    P2p::start(options, store, peers, EventBus::new(), supervisor)
        .await
        .expect("the node starts")
}

/// The rate of a fetch in MiB/s.
async fn fetch(reader: &P2p, found: &Found) -> f64 {
    let (begun, mut chunks, mut bytes) = (Instant::now(), reader.fetch(found, 0, &Trace::default()), 0);
    while let Some(chunk) = chunks.next().await {
        bytes += chunk.expect("an honest holder").bytes().len();
    }
    bytes as f64 / f64::from(1 << 20) / begun.elapsed().as_secs_f64()
}

/// The address of a proxy that lets what a node sends pass at the limited rate.
async fn limited(node: &P2p) -> String {
    let port_of = |address: &String| address.split('/').nth(4)?.parse::<u16>().ok();
    let addresses = node.listen_addresses();
    let tcp = addresses.iter().find(|address| address.contains("/tcp/"));
    let node_port = tcp.and_then(port_of).expect("a TCP port");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let target = SocketAddr::from(([127, 0, 0, 1], node_port));
            let server = TcpStream::connect(target).await.expect("the node listens");
            let (client_reads, client_writes) = client.into_split();
            let (server_reads, server_writes) = server.into_split();
            tokio::spawn(pass(client_reads, server_writes, f64::INFINITY));
            tokio::spawn(pass(server_reads, client_writes, BYTES_PER_SECOND));
        }
    });
    format!("/ip4/127.0.0.1/tcp/{port}/p2p/{}", node.local_peer_id())
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, bytes_per_second: f64) {
    let mut piece = vec![0; 32 * 1024];
    let mut free_at = tokio::time::Instant::now();
    while let Ok(read @ 1..) = from.read(&mut piece).await {
        if to.write_all(&piece[..read]).await.is_err() {
            return;
        }
        free_at = free_at.max(tokio::time::Instant::now())
            + Duration::from_secs_f64(read as f64 / bytes_per_second);
        tokio::time::sleep_until(free_at).await;
    }
}
