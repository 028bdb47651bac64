//! Throughput of a fetch over loopback, compared with a bare noise and yamux
//! stream over TCP in the same run: `cargo bench -p dm-p2p --bench fetch`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::time::{Duration, Instant};

use common::rate;
use dm_core::{ports::NetworkStatus, tasks::Supervisor};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::{StreamProtocol, Swarm, SwarmBuilder, noise, swarm::SwarmEvent, tcp, yamux};

const SIZE: u64 = 256 << 20;
const ROUNDS: usize = 5;
const RAW: StreamProtocol = StreamProtocol::new("/raw/1");

fn main() {
    common::two_threads().block_on(async {
        let (raw, (fetched, first_chunk)) = (measure_raw().await, measure_fetch().await);
        println!("bare stream   {raw:>8.0} MiB/s");
        println!("fetch         {fetched:>8.0} MiB/s, first chunk after {first_chunk:?}");
        println!("ratio         {:>8.2}", fetched / raw);
    });
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

async fn measure_fetch() -> (f64, Duration) {
    let supervisor = Supervisor::new();
    let (store, object) = common::store_with_object(SIZE).await;
    let holder = common::holder(store, &supervisor).await;
    let reader = common::reader(holder.listen_addresses(), 1, &supervisor).await;
    let (mut rates, mut first_chunk) = (Vec::new(), Duration::MAX);
    for _ in 0..ROUNDS {
        let (rate, first) = common::fetch(&reader, &object, std::slice::from_ref(&holder)).await;
        rates.push(rate);
        first_chunk = first_chunk.min(first);
    }
    supervisor.shut_down(Duration::from_secs(10)).await;
    (best(rates), first_chunk)
}
