//! Nobody takes all connections, handshakes or streams of a node.

use std::time::Duration;

use dm_core::{
    config::NetworkConfig,
    news::News,
    ports::{Found, NetworkStatus, ObjectExchange},
    trace::Trace,
};
use dm_testing::{
    objects::SampleObject,
    waiting::{PATIENCE, eventually},
};
use futures::{StreamExt, TryStreamExt};
use libp2p::{
    Multiaddr,
    swarm::{
        SwarmEvent,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use tokio::{io::AsyncReadExt, net::TcpStream, task::JoinSet};

use crate::common::{
    Node,
    script::{self, Lie, Reply, Request, receive, send},
    start_changed, start_plain,
};

/// Room for twelve incoming connections, four of them from one address.
fn narrow(network: &mut NetworkConfig) {
    network.max_connections = 24;
    network.max_connections_per_address = 4;
    network.address_connections_per_sec = 1000;
}

fn count_connected(node: &Node) -> usize {
    let peers = node.p2p.peers();
    peers.iter().filter(|peer| peer.connected).count()
}

fn is_connected(node: &Node, other: &Node) -> bool {
    let id = other.p2p.local_peer_id();
    let mut peers = node.p2p.peers().into_iter();
    peers.any(|peer| peer.connected && peer.record.peer_id == id)
}

/// Peers that were connected at some time.
fn count_met(node: &Node) -> usize {
    let events = node.bus.history(usize::MAX);
    let connected = events
        .iter()
        .filter(|event| matches!(event.news, News::PeerConnected { .. }));
    connected.count()
}

/// Whether a connection with this peer was ever lost.
fn has_lost(node: &Node, other: &Node) -> bool {
    let id = other.p2p.local_peer_id();
    let events = node.bus.history(usize::MAX);
    events
        .iter()
        .any(|event| matches!(&event.news, News::PeerDisconnected { peer_id } if *peer_id == id))
}

/// Connects with ever new identities, as soon as the node has hung up.
async fn keep_connecting(node: String) {
    loop {
        let mut swarm = script::swarm();
        swarm.dial(node.parse::<Multiaddr>().unwrap()).unwrap();
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::ConnectionClosed { .. } | SwarmEvent::OutgoingConnectionError { .. } => break,
                _ => {}
            }
        }
    }
}

/// Opens a connection and says nothing, again and again.
async fn keep_half_open(host_and_port: String) {
    loop {
        if let Ok(mut socket) = TcpStream::connect(&host_and_port).await {
            // The node speaks second: this ends when it hangs up.
            let _ = socket.read(&mut [0; 1]).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_identity_has_two_connections() {
    let node = start_changed(Vec::new(), |_| {}).await;
    let address: Multiaddr = node.address().parse().unwrap();
    let mut swarm = script::swarm();
    let (mut opened, mut closed) = (0, 0);
    // One after the other, and the last ones must close the first.
    while opened < 6 || closed < 4 {
        if opened - closed < 3 && opened < 6 {
            let dial = DialOpts::peer_id(node.p2p.local_peer_id().parse().unwrap())
                .condition(PeerCondition::Always)
                .addresses(vec![address.clone()]);
            swarm.dial(dial.build()).unwrap();
        }
        loop {
            match tokio::time::timeout(PATIENCE, swarm.select_next_some())
                .await
                .unwrap()
            {
                SwarmEvent::ConnectionEstablished { .. } => opened += 1,
                SwarmEvent::ConnectionClosed { .. } => closed += 1,
                _ => continue,
            }
            break;
        }
    }
    assert_eq!(opened - closed, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_identities_of_one_address_leave_room_for_another_one() {
    let node = start_changed(Vec::new(), narrow).await;
    let object = SampleObject::new(1, 7, 100);
    let honest = start_plain(vec![node.address()]).await;
    object.store_in(&*honest.store).await.unwrap();
    eventually("the honest node is connected", async || {
        is_connected(&node, &honest).then_some(())
    })
    .await;
    let found = Found {
        envelope: object.envelope.clone(),
        holders: vec![honest.p2p.local_peer_id()],
    };
    // It has served this node: from here on it keeps its place.
    let read = node.p2p.fetch(&found, 0, &Trace::default());
    assert!(read.try_collect::<Vec<_>>().await.unwrap() == object.chunks);
    let mut attackers = JoinSet::new();
    for _ in 0..16 {
        attackers.spawn(keep_connecting(node.address()));
    }
    eventually("the attackers have come forty times", async || {
        (count_met(&node) >= 40).then_some(())
    })
    .await;
    // Four in each direction: the node dials some of them as well.
    assert!(count_connected(&node) <= 8);
    assert!(is_connected(&node, &honest));
    assert!(!has_lost(&node, &honest));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_newcomer_is_served_beside_attackers_who_come_again_and_again() {
    let node = start_changed(Vec::new(), narrow).await;
    let object = SampleObject::new(1, 7, 100);
    object.store_in(&*node.store).await.unwrap();
    let mut attackers = JoinSet::new();
    for _ in 0..8 {
        attackers.spawn(keep_connecting(node.address()));
    }
    eventually("four attackers are connected", async || {
        (count_connected(&node) >= 4).then_some(())
    })
    .await;
    let honest = start_plain(vec![node.address()]).await;
    let found = Found {
        envelope: object.envelope.clone(),
        holders: vec![node.p2p.local_peer_id()],
    };
    eventually("the honest node is served", async || {
        let read = honest.p2p.fetch(&found, 0, &Trace::default());
        let read = read.try_collect::<Vec<_>>().await.ok()?;
        (read == object.chunks).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_holds_handshakes_open_keeps_nobody_out() {
    let node = start_changed(Vec::new(), narrow).await;
    let mut attackers = JoinSet::new();
    for _ in 0..16 {
        attackers.spawn(keep_half_open(node.host_and_port()));
    }
    // Only over TCP, where the attackers are.
    let honest = start_plain(vec![node.address()]).await;
    eventually("the honest node is connected", async || {
        is_connected(&node, &honest).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_opens_streams_without_end_leaves_some_for_others() {
    let node = start_changed(Vec::new(), |_| {}).await;
    let mut attackers = Vec::new();
    // More than there may be in all.
    for _ in 0..34 {
        let mut attacker = script::connect(&node.address(), Lie::None, None).await;
        let mut streams = Vec::new();
        for _ in 0..16 {
            let mut stream = attacker.open(&node.address()).await;
            send(&mut stream, &Request::Peers).await;
            streams.push(stream);
        }
        attackers.push((attacker, streams));
    }
    eventually("an honest peer is served", async || {
        let mut honest = script::connect(&node.address(), Lie::None, None).await;
        let mut stream = honest.open(&node.address()).await;
        send(&mut stream, &Request::Peers).await;
        let reply = receive(&mut stream).await;
        matches!(reply, Some(Reply::Peers { .. })).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_memory_strangers_are_refused_and_dials_go_on() {
    let other = start_plain(Vec::new()).await;
    let node = start_changed(vec![other.address()], |network| network.max_memory = 1).await;
    eventually("the node has dialled its peer", async || {
        is_connected(&node, &other).then_some(())
    })
    .await;
    let mut stranger = script::swarm();
    stranger
        .dial(node.address().parse::<Multiaddr>().unwrap())
        .unwrap();
    let hung_up = async {
        while !matches!(
            stranger.select_next_some().await,
            SwarmEvent::ConnectionClosed { .. }
        ) {}
    };
    tokio::time::timeout(PATIENCE, hung_up).await.unwrap();
    assert!(is_connected(&node, &other));
    assert_eq!(count_connected(&node), 1);
}
