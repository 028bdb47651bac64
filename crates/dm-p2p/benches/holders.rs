//! A fetch from three holders, each limited to a third of the link, compared
//! with a fetch from one of them in the same run:
//! `cargo bench -p dm-p2p --bench holders`.
//!
//! A proxy before each holder lets bytes pass at the limited rate.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{net::SocketAddr, time::Duration};

use dm_core::{ports::NetworkStatus, tasks::Supervisor};
use dm_p2p::P2p;
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
    common::two_threads().block_on(async {
        let supervisor = Supervisor::new();
        let (store, object) = common::store_with_object(SIZE).await;
        let (mut holders, mut addresses) = (Vec::new(), Vec::new());
        for _ in 0..HOLDERS {
            let holder = common::holder(store.clone(), &supervisor).await;
            addresses.push(limited(&holder).await);
            holders.push(holder);
        }
        let reader = common::reader(addresses, HOLDERS as u64, &supervisor).await;
        let (one, _) = common::fetch(&reader, &object, &holders[..1]).await;
        let (three, _) = common::fetch(&reader, &object, &holders).await;
        println!("one holder      {one:>8.1} MiB/s");
        println!("three holders   {three:>8.1} MiB/s");
        println!("ratio           {:>8.2}", three / one);
        supervisor.shut_down(Duration::from_secs(10)).await;
    });
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
