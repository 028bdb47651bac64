//! Peers that are connected over TCP and over QUIC.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use dm_core::{
    envelope::CHUNK_SIZE,
    ports::{Found, NetworkStatus, ObjectExchange},
    trace::{PeerPath, Trace},
};
use dm_p2p::Identity;
use dm_testing::{
    objects::{MemoryObjectStore, SampleObject},
    waiting::eventually,
};
use futures::TryStreamExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::common::{Node, config, start_empty, start_over};

/// Another address of a node, and the bytes that have come from the node through it.
async fn passage_to(target: String) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (moved, counted) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let from_node = moved.clone();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(&target).await.unwrap();
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            tokio::spawn(pass_on(near_in, far_out, counted.clone()));
            tokio::spawn(pass_on(far_in, near_out, from_node.clone()));
        }
    });
    (address, moved)
}

async fn pass_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, moved: Arc<AtomicU64>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        moved.fetch_add(count as u64, Ordering::Relaxed);
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

/// Fetches an object and returns the paths to its holder, the used one first.
async fn fetch(reader: &Node, holder: &Node, object: &SampleObject) -> Result<Vec<PeerPath>, String> {
    let found = Found {
        envelope: object.envelope.clone(),
        holders: vec![holder.p2p.local_peer_id()],
    };
    let trace = Trace::default();
    let fetched: Result<Vec<_>, _> = reader.p2p.fetch(&found, 0, &trace).try_collect().await;
    assert!(fetched.map_err(|error| error.to_string())? == object.chunks);
    Ok(trace.report().peers.pop().unwrap().paths)
}

fn transports(paths: &[PeerPath]) -> Vec<&str> {
    paths.iter().map(|path| path.transport.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_go_over_tcp_where_quic_stands_as_well() {
    let object = SampleObject::new(1, 7, 3 * CHUNK_SIZE);
    let store = MemoryObjectStore::new();
    object.store_in(&store).await.unwrap();
    let holder = start_over(&store, Vec::new()).await;
    let (passage, moved) = passage_to(holder.host_and_port()).await;
    let mut addresses = holder.p2p.listen_addresses().into_iter();
    let quic = addresses.find(|address| address.contains("/quic-v1")).unwrap();
    let (quic, _) = quic.rsplit_once("/p2p/").unwrap();
    // Without peer ids these are two targets.
    let targets = vec![quic.to_owned(), passage.to_string()];
    let reader = start_empty(config(Identity::generate(), targets)).await;

    eventually("both connections stand and TCP is used", async || {
        let paths = fetch(&reader, &holder, &object).await.ok()?;
        (transports(&paths) == ["tcp", "quic"]).then_some(())
    })
    .await;
    for _ in 0..5 {
        let before = moved.load(Ordering::Relaxed);
        let paths = fetch(&reader, &holder, &object).await.unwrap();
        assert_eq!(transports(&paths), ["tcp", "quic"]);
        let over_tcp = moved.load(Ordering::Relaxed) - before;
        assert!(over_tcp >= object.envelope.size, "{over_tcp} bytes over TCP");
    }
}
