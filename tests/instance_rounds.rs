//! Rounds of mixed load on three instances of one node: shares, paid shares, transfers, grants,
//! revocations, erasures and rotations. In each round, an instance is killed, suspended or replaced, or
//! what the instances stand on goes away. After each round everything is what clients were
//! told: what was acknowledged is there and verified, nothing was recorded twice, every transfer and
//! every share was paid for once, and no two instances ever had the lease of the leader at the same
//! time. After all of them, the log has no gap, the contract has accepted all of it, and the bucket
//! has no object that belongs to no share.
//!
//! `INSTANCE_ROUNDS` says how many rounds there are, `INSTANCE_SEED` with which one they begin.
//! `PREVIOUS_NODE` names the binary that instances are replaced by; without it, it is the same one.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use dm_testing::catalog::leases::assert_one_at_a_time;
use futures::future::join_all;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use reqwest::Method;
use serde_json::Value;

use crate::{
    instances::{leases, led},
    support::{
        Node, NodeSetup, PATIENCE, SOMEBODY,
        commons::{Commons, all_of, leads},
        eventually, eventually_within,
        mixed_load::{LARGE, Load},
        money::COIN,
        process::{is_running, kill_9},
        setting,
        told::{Buyer, Told},
        whole_log::is_whole_and_accepted,
    },
};

/// Rounds of an ordinary run of the tests: eight have each happening once.
const FEW_ROUNDS: u64 = 2;
const INSTANCES: usize = 3;
/// How long the store or the chain is away: longer than requests to it are made again.
const AWAY: Duration = Duration::from_secs(10);

/// What happens in a round.
#[derive(Debug, Clone, Copy)]
enum Happening {
    /// `kill -9` of an instance, which starts again in the next round.
    Kill,
    /// The leader is suspended until another instance leads.
    Suspend,
    /// The store of large objects breaks all connections for a while.
    Store,
    /// The chain is gone for a while.
    Chain,
    /// `kill -9` of pgbouncer, which starts again.
    Pooler,
    /// `kill -9` of the database, which starts again.
    Database,
    /// `kill -9` of the database, whose standby takes its place.
    FailOver,
    /// An instance stops, and the other binary goes on in its place.
    Replace,
}

const HAPPENINGS: [Happening; 8] = [
    Happening::Kill,
    Happening::Suspend,
    Happening::Store,
    Happening::Chain,
    Happening::Pooler,
    Happening::Database,
    Happening::FailOver,
    Happening::Replace,
];

/// The place of the leader.
async fn leader_of(nodes: &[Node]) -> usize {
    for (place, node) in nodes.iter().enumerate() {
        if leads(node, node).await {
            return place;
        }
    }
    panic!("an instance leads that is none of these")
}

/// Waits until one leads of which this is not true.
async fn another_leads(nodes: &[Node], not: usize) {
    let asked = &nodes[(not + 1) % nodes.len()];
    eventually("another instance leads", || async {
        (!leads(&nodes[not], asked).await).then_some(())
    })
    .await;
}

/// The instances, what they stand on, and who buys from them.
struct Scene {
    commons: Commons,
    nodes: Vec<Node>,
    /// A node of its own.
    _buyers: Node,
    buyer: Buyer,
    /// What [`SOMEBODY`] had at first.
    before: u128,
    everything: Told,
}

impl Scene {
    async fn new() -> Option<Self> {
        let commons = Commons::with_standby().await?;
        let setup = |home| {
            let setup = commons.instance(home).env("DM_METRICS__LISTEN", "off");
            let setup = setup.env("DM_KEYS__DESTROY_RETIRED", "true");
            // As by default: tests set it shorter.
            let setup = setup.env("DM_COMPLIANCE__WATCH_INTERVAL_SECS", "5");
            // A payment is given back once it is final, and idle chains make no blocks.
            setup
                .env("DM_PAYMENTS__REFUND_AFTER_SECS", "1")
                .env("DM_CHAIN__CONFIRMATIONS", "0")
        };
        let mut first = setup(0).start().await;
        led(&first).await;
        let buyers = commons.other_node(&first).await;
        // It stays where it is, and tells instances that start again of each other.
        first.setup = first.setup.peer(&buyers);
        let mut nodes = vec![first];
        for home in 1..INSTANCES {
            nodes.push(setup(home).peer(&nodes[0]).peer(&buyers).start().await);
        }
        let token = buyers.issue(100_000_000).await;
        nodes[0].add_token(&token).await;
        buyers.allow(&token, nodes[0].address(), 100_000_000).await;
        Some(Self {
            before: nodes[0].balance(SOMEBODY, COIN).await,
            commons,
            nodes,
            buyer: Buyer {
                account: buyers.address().to_owned(),
                token,
            },
            _buyers: buyers,
            everything: Told::default(),
        })
    }

    async fn round(&mut self, round: u64) {
        let happening = HAPPENINGS[usize::try_from(round).unwrap() % HAPPENINGS.len()];
        let mut random = StdRng::seed_from_u64(round);
        let place = random.random_range(0..INSTANCES);
        let names: Vec<String> = (0..INSTANCES)
            .map(|place| format!("round-{round}-instance-{place}"))
            .collect();
        let loads: Vec<Load> = names.iter().map(|_| Load::with_buyer(&self.buyer)).collect();
        let Self { commons, nodes, .. } = self;
        let nodes = &*nodes;
        let all = nodes.iter().zip(&loads).zip(&names);
        let running = join_all(all.map(|((node, load), name)| load.run(node, name)));
        let happens = async {
            join_all(loads.iter().map(Load::goes_on)).await;
            let mut scene = Happens {
                commons,
                nodes,
                loads: &loads,
                place,
            };
            let gone = scene.happens(happening).await;
            let going_on = loads.iter().enumerate().filter(|(at, _)| !gone || *at != place);
            join_all(going_on.map(|(_, load)| load.goes_on())).await;
            loads.iter().for_each(Load::end);
            gone
        };
        let (_, gone) = tokio::join!(running, happens);
        if gone {
            self.again(place, happening).await;
        }
        self.commons.add_standby().await;
        let mut told = Told::default();
        loads.iter().for_each(|load| told.absorb(load.told()));
        let node = &self.nodes[random.random_range(0..INSTANCES)];
        told.is_there(node, self.before).await;
        told.is_granted(node, &self.buyer).await;
        self.everything.absorb(told);
        self.everything.is_paid_for(node, &self.buyer).await;
        self.everything.versions_differ();
        assert_one_at_a_time(&leases(&self.commons.postgres).await);
        println!("round {round}: {happening:?}");
    }

    /// Starts an instance again that has ended, or the other binary in its place.
    async fn again(&mut self, place: usize, happening: Happening) {
        let node = self.nodes.remove(place);
        let this = node.kill().await;
        let node = match happening {
            Happening::Replace => replaced(this).await,
            _ => this.start().await,
        };
        self.nodes.insert(place, node);
    }

    /// What holds when all rounds are over.
    async fn holds(mut self) {
        for node in &self.nodes {
            self.everything.is_there(node, self.before).await;
            self.everything.is_granted(node, &self.buyer).await;
        }
        let Commons { postgres, chain, .. } = &self.commons;
        is_whole_and_accepted(&self.nodes[0], postgres, &chain.url).await;
        // An instance that starts collects what others have left, when they have been silent for long.
        eventually_within(4 * PATIENCE, "every body belongs to a share", async || {
            let node = self.nodes.remove(0).restart().await;
            let ask = |route: &str| node.request(Method::GET, route);
            let shares = all_of(ask, "/shares?", "shares").await;
            let is_large = |share: &&Value| share["size"].as_u64() >= Some(LARGE as u64);
            let large = shares.iter().filter(is_large).count();
            self.nodes.insert(0, node);
            (self.commons.bodies().await == large).then_some(())
        })
        .await;
    }
}

/// The previous binary in the place of this one, or this one again: the previous one may be so old
/// that it refuses the database.
async fn replaced(setup: NodeSetup) -> Node {
    let previous = std::env::var_os("PREVIOUS_NODE").map(PathBuf::from);
    let this = NodeSetup {
        binary: None,
        ..setup.clone()
    };
    let (None, Some(previous)) = (setup.binary, previous) else {
        return this.start().await;
    };
    match this.clone().binary(&previous).try_start().await {
        Ok(node) => node,
        Err(why) => {
            println!("the previous binary does not open this database: {why}");
            this.start().await
        }
    }
}

/// What a round has.
struct Happens<'a> {
    commons: &'a mut Commons,
    nodes: &'a [Node],
    loads: &'a [Load],
    /// Of the instance to which it happens, where it happens to one.
    place: usize,
}

impl Happens<'_> {
    /// Lets it happen under load; whether the instance is gone then.
    async fn happens(&mut self, happening: Happening) -> bool {
        let node = &self.nodes[self.place];
        match happening {
            Happening::Kill => {
                let led = leads(node, node).await;
                kill_9(node.id()).await;
                if led {
                    self.anchors_again(Instant::now()).await;
                }
                return true;
            }
            Happening::Suspend => {
                let leader = leader_of(self.nodes).await;
                self.nodes[leader].signal("-STOP").await;
                another_leads(self.nodes, leader).await;
                self.nodes[leader].signal("-CONT").await;
            }
            Happening::Store => {
                self.commons.store.cut_off();
                tokio::time::sleep(AWAY).await;
                self.commons.store.clear();
            }
            Happening::Chain => self.commons.chain.without(tokio::time::sleep(AWAY)).await,
            Happening::Pooler => self.commons.restart_pooler().await,
            Happening::Database => {
                self.commons.postgres.kill().await;
                self.commons.postgres.start().await;
            }
            Happening::FailOver => {
                self.commons.fail_over().await;
                self.shares_again(Instant::now()).await;
            }
            Happening::Replace => {
                node.signal("-TERM").await;
                let ended = || async { (!is_running(node.id())).then_some(()) };
                eventually("the instance has ended", ended).await;
                return true;
            }
        }
        false
    }

    /// Says how long it takes until another instance has anchored a share.
    async fn anchors_again(&self, since: Instant) {
        let place = (self.place + 1) % INSTANCES;
        let (node, load) = (&self.nodes[place], &self.loads[place]);
        let name = format!("{place} after {since:?}");
        let hash = eventually("a share is acknowledged", || load.share(node, &name)).await;
        node.verifies(&hash).await;
        println!("kill -9 of the leader, next anchor: {:?}", since.elapsed());
    }

    /// Says how long it takes until each instance acknowledges shares.
    async fn shares_again(&self, since: Instant) {
        let shares = self.nodes.iter().zip(self.loads).map(async |(node, load)| {
            let name = format!("{} after {since:?}", node.id());
            eventually("a share is acknowledged", || load.share(node, &name)).await;
        });
        join_all(shares).await;
        println!("promotion, next share of each instance: {:?}", since.elapsed());
    }
}

#[tokio::test]
async fn whatever_happens_to_instances_and_what_they_stand_on_everything_is_what_clients_were_told() {
    let (rounds, seed) = (
        setting("INSTANCE_ROUNDS", FEW_ROUNDS),
        setting("INSTANCE_SEED", 0),
    );
    let Some(mut scene) = Scene::new().await else {
        return;
    };
    for round in seed..seed + rounds {
        scene.round(round).await;
    }
    scene.holds().await;
}
