//! Rounds of mixed load on three instances of one node; in each, one of them is killed, suspended
//! or stopped, or what they stand on goes away. After each round everything is what clients were
//! told: what was acknowledged is there and verified, nothing was recorded twice, every transfer was
//! made once, and no two instances ever had the lease of the leader at the same time.
//!
//! `INSTANCE_ROUNDS` says how many rounds there are, `INSTANCE_SEED` with which one they begin.

use dm_testing::catalog::leases::assert_one_at_a_time;
use futures::future::join_all;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::{
    instances::{leases, led},
    support::{
        Node, NodeSetup, SOMEBODY,
        commons::{Commons, leads},
        eventually,
        mixed_load::Load,
        money::COIN,
        process::kill_9,
        setting,
    },
};

/// Rounds of an ordinary run of the tests.
const FEW_ROUNDS: u64 = 2;
const INSTANCES: usize = 3;

/// What happens in a round.
#[derive(Debug, Clone, Copy)]
enum Happening {
    /// `kill -9` of an instance.
    Kill,
    /// The leader is suspended until another instance leads.
    Suspend,
    /// `kill -9` of the database, which starts again.
    Database,
    /// The store of large objects breaks all connections for a while.
    Store,
}

const HAPPENINGS: [Happening; 4] = [
    Happening::Kill,
    Happening::Suspend,
    Happening::Database,
    Happening::Store,
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

/// Starts an instance again that was killed.
async fn again(node: Node) -> Node {
    let setup: NodeSetup = node.kill().await;
    setup.start().await
}

#[tokio::test]
async fn whatever_happens_to_instances_and_what_they_stand_on_everything_is_what_clients_were_told() {
    let (rounds, seed) = (
        setting("INSTANCE_ROUNDS", FEW_ROUNDS),
        setting("INSTANCE_SEED", 1),
    );
    let Some(mut commons) = Commons::make().await else {
        return;
    };
    let mut nodes: Vec<Node> = Vec::new();
    for home in 0..INSTANCES {
        let setup = commons.instance(home);
        let setup = match nodes.first() {
            Some(first) => setup.peer(first),
            None => setup,
        };
        nodes.push(setup.start().await);
    }
    led(&nodes[0]).await;
    let before = nodes[0].balance(SOMEBODY, COIN).await;
    for round in seed..seed + rounds {
        let mut random = StdRng::seed_from_u64(round);
        let happening = HAPPENINGS[random.random_range(0..HAPPENINGS.len())];
        let place = random.random_range(0..INSTANCES);
        let names: Vec<String> = (0..INSTANCES)
            .map(|place| format!("round-{round}-instance-{place}"))
            .collect();
        let loads: Vec<Load> = names.iter().map(|_| Load::default()).collect();
        let running = join_all(
            nodes
                .iter()
                .zip(&loads)
                .zip(&names)
                .map(|((node, load), name)| load.run(node, name)),
        );
        let mut killed = None;
        let happens = async {
            join_all(loads.iter().map(Load::goes_on)).await;
            let mut going_on: Vec<&Load> = loads.iter().collect();
            match happening {
                Happening::Kill => {
                    kill_9(nodes[place].id()).await;
                    killed = Some(place);
                    going_on.remove(place);
                }
                Happening::Suspend => {
                    let leader = leader_of(&nodes).await;
                    nodes[leader].signal("-STOP").await;
                    another_leads(&nodes, leader).await;
                    nodes[leader].signal("-CONT").await;
                }
                Happening::Database => {
                    commons.postgres.kill().await;
                    commons.postgres.start().await;
                }
                Happening::Store => {
                    commons.store.cut_off();
                    going_on[place].goes_on().await;
                    commons.store.clear();
                }
            }
            join_all(going_on.into_iter().map(Load::goes_on)).await;
            loads.iter().for_each(Load::end);
        };
        tokio::join!(running, happens);
        if let Some(place) = killed {
            let node = nodes.remove(place);
            nodes.insert(place, again(node).await);
        }
        let all = Load::default();
        loads.into_iter().for_each(|load| all.absorb(load));
        let node = &nodes[random.random_range(0..INSTANCES)];
        all.is_there(node, before).await;
        assert_one_at_a_time(&leases(&commons.postgres).await);
        println!("round {round}: {happening:?}");
    }
}
