//! A holder of many objects leaves for good: when has the first of them all copies again,
//! and when the last? The decisions and the stores of their state are the real ones; time,
//! links, and what goes over them are simulated.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap, HashSet},
    path::Path,
    time::Instant,
};

use dm_core::{Address, clock::now_ms, config::StorageConfig, envelope::ObjectId, hash::DataHash};
use dm_services::repairer::plan::{Action, Peer, PeerKey, Proof, RepairConfig, RepairPlan};
use dm_storage::Storage;

use crate::report;

/// Nodes that stay, the owner of all objects among them; it is the first one.
const NODES: usize = 21;
/// Copies of each object beside the owner's, one of them at the node that leaves.
const FACTOR: usize = 3;
/// Bytes in a microsecond over a link of 100 Mbit/s, in each direction.
const LINK: f64 = 100.0 / 8.0;
/// Milliseconds from one node to another and back.
const ROUND_TRIP: u64 = 20;
/// Milliseconds until a question to a node that is not there has failed.
const UNANSWERED: u64 = 5_000;
/// Milliseconds that a search in the DHT takes.
const SEARCH: u64 = 500;
/// Milliseconds between two looks of a node at its plan, as the repairer has it.
const SHORTEST_SLEEP: u64 = 50;
/// Simulated milliseconds after which a run ends that does not come to its end.
const PATIENCE: u64 = 24 * 60 * 60 * 1000;

/// Bytes of an object: where decisions count, and where links do.
const SIZES: [u64; 2] = [1024, 64 * 1024];

pub(crate) async fn measure(objects: usize) -> anyhow::Result<()> {
    let config = RepairConfig::default();
    println!("a holder of {objects} objects leaves for good; {NODES} nodes with links of 100 Mbit/s stay");
    for bytes in SIZES {
        let folder = tempfile::tempdir()?;
        let began = Instant::now();
        let mut world = World::new(folder.path(), objects, bytes, config).await?;
        world.run().await?;
        let repaired = world.repaired;
        report::line(
            &format!("{bytes} bytes each: first with all copies"),
            &seconds(repaired.first),
            &format!("after a grace of {}", seconds(config.grace)),
        );
        report::line(
            "last with all copies",
            &seconds(repaired.last),
            &format!(
                "the busiest link alone needs {}; {} copies made; simulated in {:.0} s",
                seconds(world.busiest_link()),
                world.copies_made,
                began.elapsed().as_secs_f64(),
            ),
        );
    }
    Ok(())
}

fn seconds(millis: u64) -> String {
    format!("{:.1} s", millis as f64 / 1000.0)
}

/// Microseconds that a link needs for so many bytes.
fn micros(bytes: u64) -> u64 {
    (bytes as f64 / LINK).ceil() as u64
}

/// When objects had all copies again, in milliseconds after the holder left.
#[derive(Clone, Copy)]
struct Repaired {
    first: u64,
    last: u64,
    objects: usize,
}

/// A node that stays.
struct Node {
    peer: Peer,
    plan: RepairPlan,
    /// Which objects it has.
    held: HashSet<ObjectId>,
    /// Until when its link is busy with what it sends and with what it receives, in
    /// microseconds.
    sends_until: u64,
    receives_until: u64,
    sent: u64,
    /// When it looks at its plan next.
    wakes: u64,
    /// Keeps the store open.
    _storage: Storage,
}

/// What happens at a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Wake,
    Answered { object: ObjectId, peer: usize },
    Found { object: ObjectId },
    Placed { object: ObjectId, takers: Vec<usize> },
}

struct World {
    bytes: u64,
    /// Milliseconds; the simulation begins now.
    now: u64,
    left_at: u64,
    nodes: Vec<Node>,
    by_key: HashMap<PeerKey, usize>,
    gone: Peer,
    /// Copies that are missing.
    missing: BTreeMap<ObjectId, usize>,
    events: BinaryHeap<Reverse<(u64, u64, usize, Event)>>,
    /// Orders what happens at the same time.
    count: u64,
    repaired: Repaired,
    copies_made: u64,
}

impl World {
    async fn new(folder: &Path, objects: usize, bytes: u64, config: RepairConfig) -> anyhow::Result<Self> {
        let now = now_ms();
        let mut nodes = Vec::new();
        for number in 0..NODES {
            let storage = Storage::open(&folder.join(number.to_string()), &StorageConfig::default())?;
            let peer = Peer::named(&format!("node {number}"));
            nodes.push(Node {
                plan: RepairPlan::open(peer.key, config, storage.namespace("repair"), now).await?,
                peer,
                held: HashSet::new(),
                sends_until: 0,
                receives_until: 0,
                sent: 0,
                wakes: u64::MAX,
                _storage: storage,
            });
        }
        let mut world = Self {
            bytes,
            now,
            left_at: now,
            by_key: nodes.iter().map(|node| node.peer.key).zip(0..).collect(),
            nodes,
            gone: Peer::named("the node that leaves"),
            missing: BTreeMap::new(),
            events: BinaryHeap::new(),
            count: 0,
            repaired: Repaired {
                first: 0,
                last: 0,
                objects: 0,
            },
            copies_made: 0,
        };
        for number in 0..objects as u64 {
            world.share(number).await?;
        }
        for node in &mut world.nodes {
            node.plan.set_complete().await?;
            node.plan.peer_down(&world.gone, now);
        }
        for node in 0..NODES {
            world.wake(node, now);
        }
        Ok(world)
    }

    /// The owner has an object, and two others; the third one leaves.
    async fn share(&mut self, number: u64) -> anyhow::Result<()> {
        let object = ObjectId {
            locator: DataHash::of(&number.to_be_bytes()).locator(),
            owner: Address::ZERO,
        };
        let mut by_distance: Vec<usize> = (1..NODES).collect();
        by_distance.sort_by_key(|node| self.nodes[*node].peer.key.distance(&object));
        let holders = [&[0], &by_distance[..FACTOR - 1]].concat();
        let peers: Vec<Peer> = holders
            .iter()
            .map(|node| self.nodes[*node].peer.clone())
            .collect();
        for &node in &holders {
            let me = &self.nodes[node].peer.key;
            // Of the owner's copy nobody needs a proof.
            let others = peers[1..]
                .iter()
                .chain([&self.gone])
                .filter(|peer| peer.key != *me);
            let known = others
                .map(|peer| (peer.clone(), self.now, Some(self.now)))
                .collect();
            let node_entry = &mut self.nodes[node];
            let (plan, now) = (&mut node_entry.plan, self.now);
            plan.keep(&object, node == 0, self.bytes, None, now).await?;
            plan.restore(&object, known, now).await?;
            node_entry.held.insert(object);
        }
        self.missing.insert(object, 1);
        Ok(())
    }

    async fn run(&mut self) -> anyhow::Result<()> {
        while !self.missing.is_empty()
            && let Some(Reverse((at, _, node, event))) = self.events.pop()
        {
            self.now = at;
            anyhow::ensure!(
                at < self.left_at + PATIENCE,
                "{} of the objects lack a copy after a day",
                self.missing.len()
            );
            self.handle(node, event).await?;
        }
        Ok(())
    }

    async fn handle(&mut self, node: usize, event: Event) -> anyhow::Result<()> {
        match event {
            Event::Wake if self.nodes[node].wakes == self.now => return self.look(node).await,
            Event::Wake => return Ok(()),
            Event::Answered { object, peer } => self.answered(node, &object, peer).await?,
            Event::Found { object } => self.found(node, &object).await?,
            Event::Placed { object, takers } => self.placed(node, &object, &takers).await?,
        }
        self.wake(node, self.now + SHORTEST_SLEEP);
        Ok(())
    }

    /// One round of the repairer.
    async fn look(&mut self, node: usize) -> anyhow::Result<()> {
        self.nodes[node].wakes = u64::MAX;
        for action in self.nodes[node].plan.due(self.now).await? {
            match action {
                Action::Challenge { object, peer, .. } => self.challenge(node, object, &peer),
                Action::Search { object } => self.after(SEARCH, node, Event::Found { object }),
                Action::Place {
                    object,
                    copies,
                    avoid,
                } => self.place(node, object, copies as usize, &avoid),
                Action::Expire { .. } | Action::Count { .. } => {}
            }
        }
        let next = self.nodes[node].plan.next_due(self.now).await?;
        if let Some(at) = next {
            self.wake(node, at.max(self.now + SHORTEST_SLEEP));
        }
        Ok(())
    }

    fn challenge(&mut self, node: usize, object: ObjectId, peer: &Peer) {
        match self.by_key.get(&peer.key) {
            Some(&peer) => self.after(ROUND_TRIP, node, Event::Answered { object, peer }),
            None => self.after(UNANSWERED, node, Event::Answered { object, peer: NODES }),
        }
    }

    async fn answered(&mut self, node: usize, object: &ObjectId, asked: usize) -> anyhow::Result<()> {
        let (peer, proof) = match self.nodes.get(asked) {
            Some(other) if other.held.contains(object) => (other.peer.clone(), Proof::Proven),
            Some(other) => (other.peer.clone(), Proof::Missing),
            None => (self.gone.clone(), Proof::Silent),
        };
        Ok(self.nodes[node]
            .plan
            .proved(object, &peer, proof, self.now)
            .await?)
    }

    async fn found(&mut self, node: usize, object: &ObjectId) -> anyhow::Result<()> {
        let holders = self.nodes.iter().filter(|other| other.held.contains(object));
        let holders: Vec<Peer> = holders.map(|other| other.peer.clone()).collect();
        Ok(self.nodes[node].plan.found(object, &holders, self.now).await?)
    }

    /// Offers an object to the nodes closest to it. Who has it says so; the others get it over
    /// both links, one after the other.
    fn place(&mut self, node: usize, object: ObjectId, copies: usize, avoid: &[Peer]) {
        let avoid: HashSet<PeerKey> = avoid.iter().map(|peer| peer.key).collect();
        let mut takers: Vec<usize> = (1..NODES)
            .filter(|other| *other != node && !avoid.contains(&self.nodes[*other].peer.key))
            .collect();
        takers.sort_by_key(|other| self.nodes[*other].peer.key.distance(&object));
        takers.truncate(copies);
        let mut done = self.now + ROUND_TRIP;
        for &taker in &takers {
            if self.nodes[taker].held.contains(&object) {
                continue;
            }
            let asked = (self.now + ROUND_TRIP) * 1000;
            let begins = asked
                .max(self.nodes[node].sends_until)
                .max(self.nodes[taker].receives_until);
            let ends = begins + micros(self.bytes);
            self.nodes[node].sends_until = ends;
            self.nodes[taker].receives_until = ends;
            self.nodes[node].sent += self.bytes;
            done = done.max(ends.div_ceil(1000) + ROUND_TRIP / 2);
        }
        let event = Event::Placed { object, takers };
        self.at(done, node, event);
    }

    async fn placed(&mut self, node: usize, object: &ObjectId, takers: &[usize]) -> anyhow::Result<()> {
        let sender = self.nodes[node].peer.clone();
        for &taker in takers {
            let taken = self.nodes[taker].held.insert(*object);
            if !taken {
                continue;
            }
            self.copies_made += 1;
            self.count_copy(object);
            let plan = &mut self.nodes[taker].plan;
            plan.keep(object, false, self.bytes, None, self.now).await?;
            plan.transferred(object, std::slice::from_ref(&sender), self.now)
                .await?;
            self.wake(taker, self.now + SHORTEST_SLEEP);
        }
        let holders: Vec<Peer> = takers
            .iter()
            .map(|taker| self.nodes[*taker].peer.clone())
            .collect();
        Ok(self.nodes[node]
            .plan
            .placed(object, &holders, None, self.now)
            .await?)
    }

    fn count_copy(&mut self, object: &ObjectId) {
        if self.missing.remove(object).is_none() {
            return;
        }
        let passed = self.now - self.left_at;
        if self.repaired.objects == 0 {
            self.repaired.first = passed;
        }
        self.repaired.last = passed;
        self.repaired.objects += 1;
    }

    /// Has a node look at its plan at that time, if it does not look earlier.
    fn wake(&mut self, node: usize, at: u64) {
        if at < self.nodes[node].wakes {
            self.nodes[node].wakes = at;
            self.at(at, node, Event::Wake);
        }
    }

    fn after(&mut self, pause: u64, node: usize, event: Event) {
        self.at(self.now + pause, node, event);
    }

    fn at(&mut self, at: u64, node: usize, event: Event) {
        self.count += 1;
        self.events.push(Reverse((at, self.count, node, event)));
    }

    /// Milliseconds that the link needs which has sent the most.
    fn busiest_link(&self) -> u64 {
        let sent = self.nodes.iter().map(|node| node.sent).max();
        micros(sent.unwrap_or_default()) / 1000
    }
}
