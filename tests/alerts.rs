//! Each alert of `deploy/prometheus/rules.yaml` fires by the fault that it is for: a real one, on a
//! real node that a real Prometheus reads.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::future::join_all;
use reqwest::{Method, StatusCode};
use tempfile::{TempDir, tempdir};

use crate::{
    events, metrics,
    support::{
        Devnet, FUNDED_KEYS, Gate, NodeSetup, SOMEBODY,
        clock::WrongClock,
        copies::watchful,
        disk::{FaultyDisk, SmallDisk, skipped},
        eventually, eventually_within,
        http::answer,
        plugin::install,
        process::kill_9,
        prometheus::{self, Prometheus},
        receiver::Receiver,
    },
};

/// A machine that does much else may read the nodes late. Only a test that fails waits so long.
const PATIENCE: Duration = Duration::from_secs(240);
/// Bytes of its own objects that a node may keep whose room is used up.
const ROOM: usize = 2_000_000;

/// What the scenarios need of this machine.
struct World {
    prometheus: Prometheus,
    full_disk: SmallDisk,
    faulty_disk: FaultyDisk,
    clock: WrongClock,
}

impl World {
    async fn new() -> Result<Self, (&'static str, String)> {
        Ok(Self {
            prometheus: Prometheus::start()
                .await
                .map_err(|reason| ("REQUIRE_PROMETHEUS", reason))?,
            full_disk: SmallDisk::mount(300).map_err(|reason| ("REQUIRE_MOUNTS", reason))?,
            faulty_disk: FaultyDisk::new().map_err(|reason| ("REQUIRE_FAULTY_DISK", reason))?,
            clock: WrongClock::new().map_err(|reason| ("REQUIRE_FAULTY_DISK", reason))?,
        })
    }

    /// Waits until each of the alerts has fired for the node, while `meanwhile` goes on.
    async fn fires(&self, instance: &str, alerts: &[&'static str], meanwhile: impl AsyncFn()) -> Fired {
        let mut missing: BTreeSet<&str> = alerts.iter().copied().collect();
        let what = format!("{alerts:?} fire for {instance}");
        eventually_within(PATIENCE, &what, async || {
            meanwhile().await;
            for alert in self.prometheus.firing(instance).await {
                missing.remove(alert.as_str());
            }
            missing.is_empty().then_some(())
        })
        .await;
        alerts.to_vec()
    }
}

/// The alerts that a scenario has seen.
type Fired = Vec<&'static str>;

async fn nothing() {}

/// A node that serves its metrics on a port of its own.
fn metered(home: &TempDir) -> NodeSetup {
    with_metrics(NodeSetup::new(home.path()))
}

fn with_metrics(setup: NodeSetup) -> NodeSetup {
    setup.env("DM_METRICS__LISTEN", "127.0.0.1:0")
}

#[tokio::test]
async fn every_alert_is_fired_by_a_real_fault_and_none_by_a_healthy_node() {
    let world = match World::new().await {
        Ok(world) => world,
        Err((required, reason)) => return skipped(required, &reason),
    };
    let home = tempdir().unwrap();
    let healthy = metered(&home).start().await;
    let healthy_instance = world.prometheus.watch(&healthy).await;
    let scenarios: [futures::future::LocalBoxFuture<'_, Fired>; 8] = [
        Box::pin(the_chain_is_away(&world)),
        Box::pin(the_chain_takes_no_transactions(&world)),
        Box::pin(the_disk_is_full(&world)),
        Box::pin(the_disk_is_slow_and_fails(&world)),
        Box::pin(the_room_is_used_up_and_a_file_is_damaged(&world)),
        Box::pin(a_receiver_and_a_plugin_fail_and_descriptors_are_few(&world)),
        Box::pin(the_peers_are_gone(&world)),
        Box::pin(the_process_starts_again_and_again_years_later(&world)),
    ];
    let fired: BTreeSet<String> = join_all(scenarios)
        .await
        .into_iter()
        .flatten()
        .map(str::to_owned)
        .collect();
    assert_eq!(fired, BTreeSet::from_iter(prometheus::alerts()));

    healthy.must_share("all is well", SOMEBODY).await;
    eventually("the share is read", async || {
        let shared = format!("dm_shares_total{{instance=\"{healthy_instance}\",state=\"shared\"}} == 1");
        world.prometheus.value(&shared).await
    })
    .await;
    eventually("no alert fires for the healthy node", async || {
        let firing = world.prometheus.firing(&healthy_instance).await;
        firing.is_empty().then_some(())
    })
    .await;
}

async fn the_chain_is_away(world: &World) -> Fired {
    let (home, chain) = (tempdir().unwrap(), tempdir().unwrap());
    let devnet = Devnet::start(chain.path()).await;
    let node = metered(&home).on_chain(&devnet.url, FUNDED_KEYS[0]).start().await;
    let instance = world.prometheus.watch(&node).await;
    let _unplugged = devnet.unplug().await;
    let (status, answer) = node.share("while the chain is away", SOMEBODY).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    let alerts = ["DmChainDisconnected", "DmPartDegraded", "DmAnchorsLate"];
    world.fires(&instance, &alerts, nothing).await
}

/// As an endpoint that is out of order, and as one that does not like what it is sent.
async fn the_chain_takes_no_transactions(world: &World) -> Fired {
    let (home, chain) = (tempdir().unwrap(), tempdir().unwrap());
    let devnet = Devnet::start(chain.path()).await;
    let gate = Gate::before(&devnet.url);
    let node = metered(&home)
        .on_chain(&gate.url, FUNDED_KEYS[0])
        .env("DM_PAYMENTS__PATIENCE_SECS", "1")
        .env("DM_COMPLIANCE__ANCHOR_TIMEOUT_SECS", "1")
        .start()
        .await;
    let token = node.issue(1000).await;
    gate.limit("eth_sendRawTransaction");
    let transfer = node.transfer_to(SOMEBODY, &token, 5);
    let (status, waiting) = node.order("/transfer", &transfer).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{waiting}");
    // The alert is about transactions that wait at every moment that Prometheus has seen. The node counts
    // them every few seconds: what is read before it has counted this one is a moment without any.
    eventually("the transfer has a transaction", async || {
        let (_, page) = answer(node.internal(Method::GET, "/transfers")).await;
        let mut transfers = page["transfers"].as_array()?.iter();
        transfers.find(|order| order["id"] == waiting["id"] && order["tx_hash"].is_string())?;
        Some(())
    })
    .await;
    metrics::page_with(&node, "dm_chain_transactions_pending", 1.0).await;
    let instance = world.prometheus.watch(&node).await;
    let mut fired = world.fires(&instance, &["DmTransactionsStuck"], nothing).await;

    gate.refuse(
        "eth_sendRawTransaction",
        "tx fee (1.50 ether) exceeds the configured cap (1.00 ether)",
    );
    fired.extend(world.fires(&instance, &["DmTransactionsRefused"], nothing).await);
    fired
}

async fn the_disk_is_full(world: &World) -> Fired {
    let disk = &world.full_disk;
    let node = with_metrics(NodeSetup::new(&disk.path().join("node")))
        .start()
        .await;
    let instance = world.prometheus.watch(&node).await;
    disk.fill();
    let share = async || {
        let (status, answer) = node.share("there is no room", SOMEBODY).await;
        assert_eq!(status, StatusCode::INSUFFICIENT_STORAGE, "{answer}");
    };
    world
        .fires(&instance, &["DmNodeUnhealthy", "DmRequestsFail"], share)
        .await
}

async fn the_disk_is_slow_and_fails(world: &World) -> Fired {
    let disk = &world.faulty_disk;
    let node = with_metrics(disk.setup()).start().await;
    let instance = world.prometheus.watch(&node).await;
    // What comes of them is told in other tests.
    let share = async || {
        node.share(&format!("share {:?}", std::time::Instant::now()), SOMEBODY)
            .await;
    };
    disk.fails("slow");
    let mut fired = world.fires(&instance, &["DmCommitsSlow"], share).await;
    disk.fails("fsync");
    fired.extend(world.fires(&instance, &["DmCommitsFail"], share).await);
    disk.works();
    fired
}

async fn the_room_is_used_up_and_a_file_is_damaged(world: &World) -> Fired {
    let home = tempdir().unwrap();
    let node = metered(&home)
        .env("DM_STORAGE__MAX_OWN_BYTES", &ROOM.to_string())
        .start()
        .await;
    let instance = world.prometheus.watch(&node).await;
    let (status, large) = node.put(vec![1; 3 * ROOM / 10], SOMEBODY).await;
    assert_eq!(status, StatusCode::CREATED, "{large}");
    let mut round = 0;
    let status = loop {
        let (status, _) = node.put(vec![round; ROOM / 20], SOMEBODY).await;
        if !status.is_success() {
            break status;
        }
        round += 1;
    };
    assert_eq!(status, StatusCode::INSUFFICIENT_STORAGE);

    let file = largest_file(&home.path().join("objects")).unwrap();
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, vec![0; bytes.len()]).unwrap();
    let hash = large["data_hash"].as_str().unwrap();
    let (_, read) = node.object(hash).await;
    assert!(read.len() < 3 * ROOM / 10, "what is damaged is not given");
    world
        .fires(&instance, &["DmStoreNearlyFull", "DmObjectsDamaged"], nothing)
        .await
}

/// Of those whose place is not another file's, as that of the journal of the engine is.
fn largest_file(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder.join("files")).unwrap();
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    while let Some(path) = folders.pop() {
        match fs::read_dir(&path) {
            Ok(entries) => folders.extend(entries.map(|entry| entry.unwrap().path())),
            Err(_) => files.push(path),
        }
    }
    files
        .into_iter()
        .max_by_key(|file| fs::metadata(file).unwrap().len())
}

async fn a_receiver_and_a_plugin_fail_and_descriptors_are_few(world: &World) -> Fired {
    let home = tempdir().unwrap();
    let manifest = "name = \"broken\"\nversion = \"1\"\nhooks = [\"share\"]\n";
    install(&home, "broken", manifest, b"half of a component");
    let node = with_metrics(events::setup(&home)).start().await;
    let instance = world.prometheus.watch(&node).await;
    let receiver = Receiver::start().await;
    let (status, subscribed) = events::subscribe(&node, &receiver.url()).await;
    assert_eq!(status, StatusCode::CREATED, "{subscribed}");
    let _fallen = receiver.kill().await;
    node.must_share("nobody hears of it", SOMEBODY).await;
    let mut fired = world
        .fires(&instance, &["DmWebhooksFail", "DmPluginDown"], nothing)
        .await;

    let open = fs::read_dir(format!("/proc/{}/fd", node.id())).unwrap().count();
    let limit = format!("--nofile={}", open + open / 8);
    let pid = node.id().to_string();
    let limited = tokio::process::Command::new("prlimit")
        .args(["--pid", &pid, &limit])
        .status();
    assert!(limited.await.unwrap().success());
    fired.extend(world.fires(&instance, &["DmFilesNearlyUsedUp"], nothing).await);
    fired
}

async fn the_peers_are_gone(world: &World) -> Fired {
    let homes = [tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap()];
    let chain_home = tempdir().unwrap();
    let chain = Devnet::start(chain_home.path()).await;
    let owner = with_metrics(watchful(&homes[0], &chain, FUNDED_KEYS[0]))
        .start()
        .await;
    let holder = async |home: &TempDir, key: &str| watchful(home, &chain, key).peer(&owner).start().await;
    let first = holder(&homes[1], FUNDED_KEYS[1]).await;
    let second = holder(&homes[2], FUNDED_KEYS[2]).await;
    let instance = world.prometheus.watch(&owner).await;
    owner.has_peers(2).await;
    let hash = owner.must_share("kept by two peers", SOMEBODY).await;
    eventually("the owner counts both copies", async || {
        let (_, held) = owner.get(&format!("/network/objects/{hash}")).await;
        (held["objects"][0]["live"] == 2).then_some(())
    })
    .await;
    // A node that reaches nobody looks after no copies, so they go one after the other.
    kill_9(first.id()).await;
    let mut fired = world.fires(&instance, &["DmCopiesMissing"], nothing).await;
    kill_9(second.id()).await;
    fired.extend(world.fires(&instance, &["DmNoPeers"], nothing).await);
    fired
}

async fn the_process_starts_again_and_again_years_later(world: &World) -> Fired {
    let home = tempdir().unwrap();
    let mut node = metered(&home).start().await;
    let instance = world.prometheus.watch(&node).await;
    let started = format!("dm_process_start_time_seconds{{instance=\"{instance}\"}}");
    for _ in 0..3 {
        let before = world.prometheus.value(&started).await;
        let mut setup = world.clock.ahead(node.kill().await, 500);
        // At the same place as before.
        setup
            .env
            .push(("DM_METRICS__LISTEN".to_owned(), instance.clone()));
        node = setup.start().await;
        eventually_within(PATIENCE, "the new process is read", async || {
            let now = world.prometheus.value(&started).await?;
            (Some(now) != before).then_some(())
        })
        .await;
    }
    let mut fired = world
        .fires(&instance, &["DmNodeRestarts", "DmKeyOld"], nothing)
        .await;
    node.kill().await;
    fired.extend(world.fires(&instance, &["DmNodeDown"], nothing).await);
    fired
}
