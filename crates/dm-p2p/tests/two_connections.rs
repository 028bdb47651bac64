//! Peers that are connected over TCP and over QUIC.

use std::net::SocketAddr;

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
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::common::{Node, config, start_empty, start_over};

/// A way to a node that can stop to move bytes, with its connections standing.
struct Passage {
    address: SocketAddr,
    stopped: watch::Sender<bool>,
}

impl Passage {
    async fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stopped, is_stopped) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (target, mut is_stopped) = (target.clone(), is_stopped.clone());
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(target).await.unwrap();
                    let stop = async { is_stopped.wait_for(|stopped| *stopped).await.is_ok() };
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => return,
                        _ = stop => {}
                    }
                    std::future::pending::<()>().await;
                });
            }
        });
        Self { address, stopped }
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
async fn bytes_go_over_tcp_and_over_quic_once_nothing_moves_on_tcp() {
    let object = SampleObject::new(1, 7, 3 * CHUNK_SIZE);
    let store = MemoryObjectStore::new();
    object.store_in(&store).await.unwrap();
    let holder = start_over(&store, Vec::new()).await;
    let passage = Passage::to(holder.host_and_port()).await;
    let mut addresses = holder.p2p.listen_addresses().into_iter();
    let quic = addresses
        .find(|address| address.contains("/quic-v1"))
        .unwrap();
    let (quic, _) = quic.rsplit_once("/p2p/").unwrap();
    // Without peer ids these are two targets.
    let targets = vec![quic.to_owned(), passage.address.to_string()];
    let mut reader = config(Identity::generate(), targets);
    reader.network.health_check_interval_secs = 4;
    reader.network.request_timeout_secs = 2;
    let reader = start_empty(reader).await;

    eventually("both connections stand and TCP is used", async || {
        let paths = fetch(&reader, &holder, &object).await.ok()?;
        (transports(&paths) == ["tcp", "quic"]).then_some(())
    })
    .await;
    for _ in 0..5 {
        let paths = fetch(&reader, &holder, &object).await.unwrap();
        assert_eq!(transports(&paths), ["tcp", "quic"]);
    }

    passage.stopped.send(true).unwrap();
    eventually("QUIC is used", async || {
        let paths = fetch(&reader, &holder, &object).await.ok()?;
        (transports(&paths)[0] == "quic").then_some(())
    })
    .await;
}
