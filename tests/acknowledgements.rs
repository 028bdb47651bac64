//! Owners can prove that what they shared has arrived.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::Duration};

use dm_core::{
    acknowledgement::{Acknowledgement, SignedAcknowledgement},
    bus::EventBus,
    clock::now_ms,
    config::NetworkConfig,
    envelope::ObjectId,
    hash::DataHash,
    ports::{NetworkStatus, NoticeNetwork, Signer},
    receipt::Receipt,
    signed::Signed,
    tasks::Supervisor,
};
use dm_p2p::{Identity, P2p, P2pConfig, P2pDeps};
use dm_testing::{catalog::MemoryCatalog, objects::MemoryObjectStore, signer::TestSigner};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::support::{
    Devnet, FUNDED_KEYS, Node, NodeSetup, PATIENCE,
    auditor::verify_offline,
    copies::{have_copies, watchful},
    eventually, eventually_within,
    http::answer,
    node::dm_node,
};

/// An owner and a reader that know each other.
async fn pair(chain: &Devnet, homes: &[TempDir; 2], acknowledge: &str) -> (Node, Node) {
    let owner = NodeSetup::new(homes[0].path()).on_chain(&chain.url, FUNDED_KEYS[0]);
    let owner = owner.env("DM_INBOX__ACCEPT", "anyone").start().await;
    let reader = NodeSetup::new(homes[1].path()).on_chain(&chain.url, FUNDED_KEYS[1]);
    let reader = reader
        .env("DM_INBOX__ACCEPT", "anyone")
        .env("DM_INBOX__ACKNOWLEDGE", acknowledge)
        .peer(&owner);
    let reader = reader.start().await;
    owner.has_peers(1).await;
    (owner, reader)
}

/// The receipt of a delivery or an acknowledgement, once it is anchored.
async fn receipt(node: &Node, hash: &str, event: &str) -> Value {
    eventually("the receipt is there", async || {
        let (status, receipt) = node.get(&format!("/receipts/{hash}?event={event}")).await;
        (status == StatusCode::OK).then_some(receipt)
    })
    .await
}

/// The data of all events of a kind in the log of a node.
async fn recorded(node: &Node, kind: &str) -> Vec<String> {
    let (status, page) = node
        .get(&format!("/compliance_history?filters={kind}&limit=1000"))
        .await;
    assert_eq!(status, StatusCode::OK, "{page}");
    let history = page["history"].as_array().unwrap();
    let hashes = history
        .iter()
        .map(|event| event["data_hash"].as_str().unwrap().to_owned());
    hashes.collect()
}

#[tokio::test]
async fn an_acknowledgement_convinces_an_auditor_who_has_only_the_chain() {
    let (chain_home, files) = (tempdir().unwrap(), tempdir().unwrap());
    let chain = Devnet::start(chain_home.path()).await;
    let homes = [tempdir().unwrap(), tempdir().unwrap()];
    let (owner, reader) = pair(&chain, &homes, "on_fetch").await;
    let hash = owner.must_share("it has arrived", reader.address()).await;
    let (status, none) = owner.get(&format!("/receipts/{hash}?event=delivery")).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{none}");
    assert_eq!(reader.reads(&hash).await, b"it has arrived");
    let delivery = receipt(&owner, &hash, &format!("delivery&recipient={}", reader.address())).await;
    let own = receipt(&reader, &hash, "acknowledgement").await;
    let verdict = answer(owner.request(Method::POST, "/receipts/verify").json(&own)).await;
    assert_eq!(verdict.1["valid"], true, "{verdict:?}");
    let (status, events) = owner.get("/events?topics=data.acknowledged").await;
    assert_eq!(status, StatusCode::OK, "{events}");
    assert_eq!(events["events"].as_array().unwrap().len(), 1, "{events}");
    let recipient = reader.address().to_owned();
    owner.kill().await;
    reader.kill().await;

    let file = files.path().join("receipt.json");
    for (proof, event) in [(&delivery, "delivery"), (&own, "acknowledgement")] {
        let (verified, printed) = verify_offline(&file, proof, &chain.url).await;
        assert!(verified, "{printed}");
        assert!(
            printed.contains(event) && printed.contains("has signed"),
            "{printed}"
        );
        assert!(
            printed.to_lowercase().contains(&recipient.to_lowercase()),
            "{printed}"
        );
    }
    for (field, value) in [
        ("/event/details/statement", own["event"]["log"].clone()),
        ("/event/recipient", delivery["event"]["log"].clone()),
        ("/event/data_hash", "ab".repeat(32).into()),
        ("/event/event_type", "data_share".into()),
    ] {
        let mut forged = delivery.clone();
        *forged.pointer_mut(field).unwrap() = value;
        let (verified, printed) = verify_offline(&file, &forged, &chain.url).await;
        assert!(!verified, "{field}: {printed}");
    }
}

/// Where the newest share of this data stands at its owner.
async fn standing(owner: &Node, hash: &str) -> Value {
    let (status, page) = owner.get("/shares?limit=1").await;
    assert_eq!(status, StatusCode::OK, "{page}");
    let newest = &page["shares"][0];
    assert_eq!(newest["data_hash"], hash, "{page}");
    newest["state"].clone()
}

#[tokio::test]
async fn a_share_made_again_after_a_revocation_is_acknowledged_again_in_both_logs() {
    let chain_home = tempdir().unwrap();
    let chain = Devnet::start(chain_home.path()).await;
    let homes = [tempdir().unwrap(), tempdir().unwrap()];
    let (owner, reader) = pair(&chain, &homes, "on_fetch").await;
    let mut hash = String::new();
    for round in 1..=2 {
        hash = owner.must_share("shared twice", reader.address()).await;
        eventually("the data is read", async || {
            (reader.object(&hash).await.0 == StatusCode::OK).then_some(())
        })
        .await;
        eventually("the share is acknowledged", async || {
            (standing(&owner, &hash).await == "acknowledged").then_some(())
        })
        .await;
        for (node, kind) in [(&reader, "acknowledgement"), (&owner, "delivery")] {
            assert_eq!(recorded(node, kind).await, vec![hash.clone(); round], "{kind}");
        }
        let grants = owner.request(Method::DELETE, &format!("/data/{hash}/grants"));
        let (status, revoked) =
            answer(grants.json(&serde_json::json!({"recipient": reader.address()}))).await;
        assert!(status.is_success(), "{revoked}");
        assert_eq!(standing(&owner, &hash).await, "revoked");
    }
    // A receipt is of the newest event that is anchored.
    eventually("both receipts are of the second statement", async || {
        let delivery = receipt(&owner, &hash, "delivery").await;
        let own = receipt(&reader, &hash, "acknowledgement").await;
        let statement = |receipt: &Value| receipt.pointer("/event/details/statement").cloned();
        (statement(&delivery).is_some() && statement(&delivery) == statement(&own)).then_some(())
    })
    .await;
    drop((owner, reader));
}

#[tokio::test]
async fn an_owner_that_was_away_gets_the_acknowledgement() {
    let chain_home = tempdir().unwrap();
    let chain = Devnet::start(chain_home.path()).await;
    let homes = [(); 3].map(|()| tempdir().unwrap());
    let keeper = watchful(&homes[0], &chain, FUNDED_KEYS[0]).start().await;
    let owner = watchful(&homes[1], &chain, FUNDED_KEYS[1])
        .peer(&keeper)
        .start()
        .await;
    let reader = watchful(&homes[2], &chain, FUNDED_KEYS[2])
        .peer(&keeper)
        .start()
        .await;
    owner.has_peers(2).await;
    let hash = owner
        .must_share("read while its owner is away", reader.address())
        .await;
    have_copies([&keeper], std::slice::from_ref(&hash), 1).await;
    let away = owner.kill().await;
    assert_eq!(reader.reads(&hash).await, b"read while its owner is away");
    receipt(&reader, &hash, "acknowledgement").await;
    let owner = away.start().await;
    receipt(&owner, &hash, "delivery").await;
    assert_eq!(recorded(&owner, "delivery").await, [hash]);
    drop((keeper, reader));
}

/// A peer within this process that says what it likes.
struct Stranger {
    p2p: Arc<P2p>,
    signer: TestSigner,
    /// The peer runs as long as this does.
    _supervisor: Supervisor,
}

impl Stranger {
    async fn start(victim: &Node) -> Self {
        let signer = TestSigner::new(77);
        let config = P2pConfig {
            initial_peers: victim.started.p2p.clone(),
            network: NetworkConfig {
                host: IpAddr::from([127, 0, 0, 1]),
                ..NetworkConfig::default()
            },
            ..P2pConfig::new(Identity::generate(), signer.address())
        };
        let (supervisor, objects) = (Supervisor::new(), Arc::new(MemoryObjectStore::new()));
        let deps = P2pDeps::new(objects, Arc::new(MemoryCatalog::new()), EventBus::new());
        let p2p = P2p::start(config, deps, &supervisor).await.unwrap();
        eventually("the stranger is connected", async || {
            p2p.peers().iter().any(|peer| peer.connected).then_some(())
        })
        .await;
        Self {
            p2p,
            signer,
            _supervisor: supervisor,
        }
    }

    /// That it has read data, signed with its own key.
    fn claim(&self, hash: &DataHash, owner: &str) -> SignedAcknowledgement {
        let (recipient, now) = (self.signer.address(), now_ms());
        let statement = Acknowledgement {
            recipient,
            object: ObjectId {
                locator: hash.locator(),
                owner: owner.parse().unwrap(),
            },
            commitment: Acknowledgement::commitment_to(hash, recipient),
            sequence: 1,
            fetched_at: now,
            made_at: now,
        };
        Signed::sign(statement, &self.signer).unwrap()
    }

    /// Whether the owner's node has taken it.
    async fn brings(&self, statement: &SignedAcknowledgement) -> bool {
        let sent = self.p2p.send(&statement.clone().into()).await;
        sent.unwrap().delivered
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_or_repeated_acknowledgement_changes_nothing() {
    let chain_home = tempdir().unwrap();
    let chain = Devnet::start(chain_home.path()).await;
    let homes = [tempdir().unwrap(), tempdir().unwrap()];
    let (owner, reader) = pair(&chain, &homes, "on_fetch").await;
    let hash = owner.must_share("read by one", reader.address()).await;
    let unread = owner.must_share("read by nobody", reader.address()).await;
    reader.reads(&hash).await;
    let proof: Receipt = serde_json::from_value(receipt(&owner, &hash, "delivery").await).unwrap();
    let honest = proof.event.evidence().unwrap().unwrap();

    let stranger = Stranger::start(&owner).await;
    let forged = [
        stranger.claim(&hash.parse().unwrap(), owner.address()),
        stranger.claim(&unread.parse().unwrap(), owner.address()),
        stranger.claim(&DataHash::of(b"never shared"), owner.address()),
    ];
    for _ in 0..3 {
        for statement in forged.iter().chain([&honest]) {
            // Whoever sends it does not learn what it is worth.
            eventually("it is taken", async || {
                stranger.brings(statement).await.then_some(())
            })
            .await;
        }
    }
    let owner = owner.restart().await;
    assert_eq!(recorded(&owner, "delivery").await, std::slice::from_ref(&hash));
    for query in [
        format!("/receipts/{unread}?event=delivery"),
        format!(
            "/receipts/{hash}?event=delivery&recipient={}",
            stranger.signer.address()
        ),
    ] {
        assert_eq!(owner.get(&query).await.0, StatusCode::NOT_FOUND, "{query}");
    }
    drop(reader);
}

#[tokio::test]
async fn killed_at_any_moment_both_sides_have_one_event_for_each_read() {
    let chain_home = tempdir().unwrap();
    let chain = Devnet::start(chain_home.path()).await;
    let homes = [tempdir().unwrap(), tempdir().unwrap()];
    let (mut owner, mut reader) = pair(&chain, &homes, "on_fetch").await;
    let mut shared = BTreeSet::new();
    for round in 0..6u64 {
        let hash = owner
            .must_share(&format!("round {round}"), reader.address())
            .await;
        eventually("the data is read", async || {
            (reader.object(&hash).await.0 == StatusCode::OK).then_some(())
        })
        .await;
        shared.insert(hash);
        tokio::time::sleep(Duration::from_millis(round * 7)).await;
        // Both find each other again by what they remember.
        if round % 2 == 0 {
            reader = reader.kill().await.start().await;
        } else {
            owner = owner.kill().await.start().await;
            reader = reader.kill().await.peer(&owner).start().await;
        }
        owner.has_peers(1).await;
    }
    for (node, kind) in [(&reader, "acknowledgement"), (&owner, "delivery")] {
        // A letter that met nobody is sent again after a pause, which is longer the next time.
        eventually_within(3 * PATIENCE, &format!("every read has its {kind}"), async || {
            (recorded(node, kind).await.len() >= shared.len()).then_some(())
        })
        .await;
    }
    owner = owner.restart().await;
    for (node, kind) in [(&reader, "acknowledgement"), (&owner, "delivery")] {
        let events = recorded(node, kind).await;
        assert_eq!(events.len(), shared.len(), "{kind}");
        assert_eq!(events.into_iter().collect::<BTreeSet<_>>(), shared, "{kind}");
    }
}

async fn ack(node: &Node, data: &str) -> (bool, String) {
    let output = dm_node()
        .args(["ack", data, "--api", &node.started.external_api])
        .env("DM_API_KEY", &node.started.api_key)
        .output()
        .await
        .unwrap();
    let printed = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    (output.status.success(), printed)
}

/// Shares something under a name, and waits until the reader's inbox has it.
async fn share_named(owner: &Node, reader: &Node, name: &str) -> String {
    let body = serde_json::json!({"data": name, "recipient": reader.address(), "name": name});
    let (status, shared) = answer(owner.request(Method::POST, "/share_data").json(&body)).await;
    assert!(status.is_success(), "{shared}");
    let hash = shared["data_hash"].as_str().unwrap().to_owned();
    has_state(reader, &hash, "new").await;
    hash
}

async fn has_state(reader: &Node, hash: &str, state: &str) {
    eventually(&format!("the item is {state}"), async || {
        let (_, item) = reader.get(&format!("/inbox/{hash}")).await;
        (item["state"] == state).then_some(())
    })
    .await;
}

#[tokio::test]
async fn when_data_is_acknowledged_is_a_setting() {
    for (setting, state) in [
        ("on_fetch", "acknowledged"),
        ("on_request", "fetched"),
        ("never", "fetched"),
    ] {
        let chain_home = tempdir().unwrap();
        let chain = Devnet::start(chain_home.path()).await;
        let homes = [tempdir().unwrap(), tempdir().unwrap()];
        let (owner, reader) = pair(&chain, &homes, setting).await;
        let hash = share_named(&owner, &reader, "report.txt").await;
        let (status, early) =
            answer(reader.request(Method::POST, &format!("/inbox/{hash}/acknowledge"))).await;
        let expected = match setting {
            "never" => StatusCode::FORBIDDEN,
            _ => StatusCode::CONFLICT,
        };
        assert_eq!(status, expected, "{early}");
        reader.reads(&hash).await;
        has_state(&reader, &hash, state).await;
        let (acknowledged, printed) = ack(&reader, "report.txt").await;
        assert_eq!(acknowledged, setting != "never", "{setting}: {printed}");
        if setting == "never" {
            assert!(printed.contains("inbox.acknowledge"), "{printed}");
            assert_eq!(recorded(&reader, "acknowledgement").await, Vec::<String>::new());
            continue;
        }
        assert_eq!(ack(&reader, &hash).await, (true, printed), "the same again");
        has_state(&reader, &hash, "acknowledged").await;
        receipt(&owner, &hash, "delivery").await;
        assert_eq!(recorded(&reader, "acknowledgement").await, [hash]);
    }
}
