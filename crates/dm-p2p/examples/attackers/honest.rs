//! The honest peers: each reads objects of the node and shares own ones.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use dm_core::{
    ports::{NetworkStatus, ObjectExchange},
    tasks::Supervisor,
    trace::Trace,
};
use dm_p2p::P2p;
use dm_testing::objects::MemoryObjectStore;
use futures::TryStreamExt;

use crate::load::{self, Counts, Proven, Sharer};

pub(crate) const PEERS: usize = 10;
/// Between two reads of one peer. With it, and with the pause between two shares, the machine
/// has processor time to spare: what is measured is the attack, and not the machine.
const PAUSE: Duration = Duration::from_millis(200);

/// Prints a line of [`Counts`] each second until its input ends; `prove` has all
/// copies proven.
pub(crate) async fn run(node: &str) {
    let (counts, tasks) = (Arc::new(Mutex::new(Counts::default())), Supervisor::new());
    let mut peers = Vec::new();
    for account in 0..PEERS as u8 {
        let (account, store) = (load::NODE + 1 + account, MemoryObjectStore::new());
        let peer = load::start_node(account, &store, vec![node.to_owned()], &tasks).await;
        peers.push(Sharer::new(account, peer.clone(), store));
        while peer.stats().active_peers < PEERS.min(3).min(peers.len()) as u64 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tokio::spawn(keep_reading(peer, u64::from(account), counts.clone()));
    }
    let sharing: Vec<_> = peers
        .iter()
        .map(|peer| tokio::spawn(peer.clone().run(counts.clone())).abort_handle())
        .collect();
    let mut commands = load::input();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            _ = second.tick() => println!("{}", std::mem::take(&mut *counts.lock().unwrap()).line()),
            command = commands.recv() => match command {
                None => break,
                Some(_) => {
                    sharing.iter().for_each(tokio::task::AbortHandle::abort);
                    println!("{}", prove_all(&peers).await.line());
                }
            },
        }
    }
    tasks.shut_down(Duration::from_secs(5)).await;
}

async fn keep_reading(peer: Arc<P2p>, mut number: u64, counts: Arc<Mutex<Counts>>) {
    loop {
        number = (number + 7) % load::CORPUS;
        let done = if reads(&peer, number).await {
            Counts::read()
        } else {
            Counts::failure()
        };
        counts.lock().unwrap().add(&done);
        tokio::time::sleep(PAUSE).await;
    }
}

/// Finds and reads an object of the node that is attacked, as a node reads: at the holders
/// that it knows, or else wherever the network finds it.
async fn reads(peer: &P2p, number: u64) -> bool {
    let (object, trace) = (load::corpus_object(number), Trace::default());
    let id = object.id();
    let owners = [id.owner];
    let known = peer.find_at_known(&id.locator, &owners, &trace).await;
    let found = match known {
        Ok(found) if !found.is_empty() => found,
        _ => peer.find(&id.locator, &owners, &trace).await.unwrap_or_default(),
    };
    let Some(found) = found.first() else {
        return false;
    };
    let read: Result<Vec<_>, _> = peer.fetch(found, 0, &trace).try_collect().await;
    read.is_ok_and(|chunks| chunks == object.chunks)
}

async fn prove_all(peers: &[Sharer]) -> Proven {
    let mut proven = Proven::default();
    for peer in peers {
        proven.add(&peer.prove().await);
    }
    proven
}
