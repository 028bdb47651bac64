//! Throughput of a fetch over loopback, compared with a bare noise and yamux
//! stream over TCP in the same run: `cargo bench -p dm-p2p --bench fetch`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    net::IpAddr,
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
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::{StreamProtocol, Swarm, SwarmBuilder, noise, swarm::SwarmEvent, tcp, yamux};

const SIZE: u64 = 256 << 20;
const ROUNDS: usize = 5;
const RAW: StreamProtocol = StreamProtocol::new("/raw/1");

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let (raw, (fetched, first_byte)) = (measure_raw().await, measure_fetch().await);
        println!("bare stream   {raw:>8.0} MiB/s");
        println!("fetch         {fetched:>8.0} MiB/s, first chunk after {first_byte:?}");
        println!("ratio         {:>8.2}", fetched / raw);
    });
}

fn rate(bytes: u64, time: Duration) -> f64 {
    bytes as f64 / f64::from(1 << 20) / time.as_secs_f64()
}

fn best(rates: impl IntoIterator<Item = f64>) -> f64 {
    rates.into_iter().fold(0.0, f64::max)
}

fn raw_swarm() -> Swarm<libp2p_stream::Behaviour> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(
            tcp::Config::default().nodelay(true),
            noise::Config::new,
            yamux::Config::default,
        )
        .expect("a transport")
        .with_behaviour(|_| libp2p_stream::Behaviour::new())
        .expect("a behaviour")
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
        .build()
}

/// One writer, one reader, one stream, nothing else.
async fn measure_raw() -> f64 {
    let (mut server, mut client) = (raw_swarm(), raw_swarm());
    let mut incoming = server
        .behaviour()
        .new_control()
        .accept(RAW)
        .expect("a free protocol");
    server
        .listen_on("/ip4/127.0.0.1/tcp/0".parse().expect("a multiaddr"))
        .expect("a listener");
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = server.select_next_some().await {
            break address;
        }
    };
    let peer = *server.local_peer_id();
    let mut control = client.behaviour().new_control();
    client.dial(address).expect("a dial");
    tokio::spawn(async move { while server.next().await.is_some() {} });
    loop {
        if let SwarmEvent::ConnectionEstablished { .. } = client.select_next_some().await {
            break;
        }
    }
    tokio::spawn(async move { while client.next().await.is_some() {} });
    tokio::spawn(async move {
        let piece = vec![7; 256 * 1024];
        while let Some((_, mut stream)) = incoming.next().await {
            for _ in 0..SIZE / piece.len() as u64 {
                stream.write_all(&piece).await.expect("a reader");
            }
            stream.close().await.expect("a reader");
        }
    });
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        let mut stream = control.open_stream(peer, RAW).await.expect("a stream");
        let (begun, mut piece, mut bytes) = (Instant::now(), vec![0; 256 * 1024], 0);
        loop {
            match stream.read(&mut piece).await.expect("a writer") {
                0 => break,
                read => bytes += read as u64,
            }
        }
        rates.push(rate(bytes, begun.elapsed()));
    }
    best(rates)
}

async fn start(
    store: Arc<MemoryObjectStore>,
    initial_peers: Vec<String>,
    supervisor: &Supervisor,
) -> Arc<P2p> {
    let mut options = P2pOptions::new(Identity::generate(), Address::ZERO);
    options.network.host = IpAddr::from([127, 0, 0, 1]);
    options.initial_peers = initial_peers;
    P2p::start(
        options,
        store,
        Arc::new(MemoryCatalog::new()),
        EventBus::new(),
        supervisor,
    )
    .await
    .expect("the node starts")
}

async fn measure_fetch() -> (f64, Duration) {
    let supervisor = Supervisor::new();
    let store = Arc::new(MemoryObjectStore::new());
    let object = SampleObject::new(1, 7, SIZE);
    object.store_in(&*store).await.expect("the store works");
    let holder = start(store, Vec::new(), &supervisor).await;
    let reader = start(Arc::default(), holder.listen_addresses(), &supervisor).await;
    while reader.stats().active_peers == 0 {
        tokio::task::yield_now().await;
    }
    let found = Found {
        envelope: object.envelope.clone(),
        holders: vec![holder.local_peer_id()],
    };
    let (mut rates, mut first_byte) = (Vec::new(), Duration::MAX);
    for _ in 0..ROUNDS {
        let (begun, mut chunks, mut bytes) = (Instant::now(), reader.fetch(&found, 0, &Trace::default()), 0);
        while let Some(chunk) = chunks.next().await {
            if bytes == 0 {
                first_byte = first_byte.min(begun.elapsed());
            }
            bytes += chunk.expect("an honest holder").bytes().len() as u64;
        }
        rates.push(rate(bytes, begun.elapsed()));
    }
    supervisor.shut_down(Duration::from_secs(10)).await;
    (best(rates), first_byte)
}
