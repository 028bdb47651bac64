//! Rounds of mixed load, each ended by `kill -9`: shares of all sizes, free, paid and
//! ordered, grants, revocations and erasures. After each round the node starts again,
//! and everything is what its clients were told: what was acknowledged is there and
//! verified, what was refused is not, nothing happened twice, and every share was paid
//! for once.
//!
//! `KILL_ROUNDS` says how many rounds there are, `KILL_SEED` with which one they begin.

use std::{collections::BTreeMap, fs, sync::Mutex, time::Duration};

use dm_core::secret::SecretString;
use dm_keys::UserSigningKey;
use futures::future::join_all;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::{
    support::{
        Devnet, FUNDED_KEYS, Node, NodeSetup, SOMEBODY, bytes, data_hash, eventually, process::kill_9,
        setting,
    },
    users::{client, ed25519_user, run},
};

/// Rounds of an ordinary run of the tests.
const FEW_ROUNDS: u64 = 3;
/// Clients at the same time.
const CLIENTS: u64 = 6;
/// Longest time in milliseconds until the node is killed.
const LONGEST_ROUND_MS: u64 = 900;
/// What a paid share costs.
const PRICE: u64 = 3;
/// Sizes of what is shared: within a row of the engine, a file of one chunk, and of several.
const SIZES: [usize; 4] = [40, 6_000, 70_000, 600_000];
/// Data of rounds before that is looked at again after each round.
const LOOKED_AT_AGAIN: usize = 12;

/// What clients know of one piece of data.
#[derive(Debug, Clone, Default)]
struct Known {
    seed: u64,
    size: usize,
    /// Recipients whose share or grant was acknowledged and not revoked since.
    readers: Vec<String>,
    /// Recipients of whom the client was told nothing, or who were refused.
    unknown: Vec<String>,
    is_paid: bool,
    /// Told so; `None` where the client was told nothing of its request.
    erased: Option<bool>,
}

impl Known {
    fn bytes(&self) -> Vec<u8> {
        bytes(self.size, self.seed)
    }

    fn exists(&self) -> bool {
        !self.readers.is_empty() && self.erased == Some(false)
    }
}

/// What became of a request.
enum Told {
    Done,
    /// The node said no, and nothing may be there of it.
    Refused,
    /// The node is gone, and nothing is known.
    Nothing,
}

async fn told(request: RequestBuilder) -> Told {
    let Ok(response) = request.send().await else {
        return Told::Nothing;
    };
    let status = response.status();
    if response.bytes().await.is_err() {
        return Told::Nothing;
    }
    match status {
        StatusCode::OK | StatusCode::CREATED | StatusCode::ACCEPTED => Told::Done,
        // The payment goes on, or the node was busy: it may still come of itself.
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::INTERNAL_SERVER_ERROR => Told::Refused,
        other => panic!("{other}"),
    }
}

/// The seller, who is killed, and everybody around it.
struct Scene {
    _homes: [TempDir; 3],
    _devnet: Devnet,
    buyer: Node,
    token: String,
    alice: UserSigningKey,
    known: Mutex<BTreeMap<String, Known>>,
}

impl Scene {
    async fn new() -> (Self, Node) {
        let homes = [tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap()];
        let devnet = Devnet::start(homes[0].path()).await;
        let setup = |n: usize| NodeSetup::new(homes[n + 1].path()).on_chain(&devnet.url, FUNDED_KEYS[n]);
        let buyer = setup(1).start().await;
        let seller = setup(0)
            .peer(&buyer)
            .env("DM_PAYMENTS__REFUND_AFTER_SECS", "1")
            // A payment is given back once it is final, and idle chains make no blocks.
            .env("DM_CHAIN__CONFIRMATIONS", "0")
            .start()
            .await;
        seller.has_peers(1).await;
        let token = buyer.issue(100_000_000).await;
        seller.add_token(&token).await;
        buyer.allow(&token, seller.address(), 100_000_000).await;
        let (private, _) = ed25519_user(&seller, &homes[0], "alice").await;
        let alice = UserSigningKey::parse(&SecretString::new(fs::read_to_string(private).unwrap())).unwrap();
        let scene = Self {
            _homes: homes,
            _devnet: devnet,
            buyer,
            token,
            alice,
            known: Mutex::default(),
        };
        (scene, seller)
    }

    fn update(&self, hash: &str, change: impl FnOnce(&mut Known)) {
        change(self.known.lock().unwrap().entry(hash.to_owned()).or_default());
    }

    fn known(&self, hash: &str) -> Known {
        self.known.lock().unwrap().get(hash).cloned().unwrap_or_default()
    }

    /// One client: shares, and does something more with what it has shared, until the
    /// node is gone.
    async fn load(&self, node: &Node, seed: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        for count in 0.. {
            let piece = Known {
                seed: seed * 10_000 + count + 1,
                size: SIZES[random.random_range(0..SIZES.len())],
                erased: Some(false),
                ..Known::default()
            };
            let hash = data_hash(&piece.bytes());
            self.update(&hash, |known| *known = piece.clone());
            let kind = random.random_range(0..4_u8);
            if !self.share(node, &hash, &piece, kind).await {
                return;
            }
            let goes_on = match random.random_range(0..6_u8) {
                0 | 1 => self.grant(node, &hash).await,
                2 => self.grant(node, &hash).await && self.revoke(node, &hash).await,
                3 => self.erase(node, &hash).await,
                _ => true,
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Whether the node is still there.
    async fn share(&self, node: &Node, hash: &str, piece: &Known, kind: u8) -> bool {
        let recipient = self.buyer.address();
        let route = format!("/objects?recipient={recipient}");
        let request = match kind {
            0 => {
                self.update(hash, |known| known.is_paid = true);
                let paid = format!("{route}&payment_token={}&payment_amount={PRICE}", self.token);
                node.request(Method::PUT, &paid)
            }
            1 => match self.order(node, hash, recipient).await {
                Some((statement, signature)) => node
                    .request(Method::PUT, &route)
                    .header("X-User-Id", "alice")
                    .header("X-User-Statement", statement)
                    .header("X-User-Signature", signature),
                None => return false,
            },
            _ => node.request(Method::PUT, &route),
        };
        let told = told(request.body(piece.bytes())).await;
        self.note_reader(hash, recipient, &told)
    }

    /// What alice signs, and her signature; `None` where the node is gone.
    async fn order(&self, node: &Node, hash: &str, recipient: &str) -> Option<(String, String)> {
        let printed = ["statement", "--hash", hash, "--to", recipient, "--user", "alice"];
        let statement = run(&mut client(node, &printed)).await.ok()?;
        let signature = self.alice.sign(&statement).unwrap();
        Some((statement, signature))
    }

    async fn grant(&self, node: &Node, hash: &str) -> bool {
        let request = node
            .request(Method::POST, &format!("/data/{hash}/grants"))
            .json(&json!({"recipient": SOMEBODY}));
        if !self.known(hash).exists() {
            return true;
        }
        let told = told(request).await;
        self.note_reader(hash, SOMEBODY, &told)
    }

    fn note_reader(&self, hash: &str, recipient: &str, told: &Told) -> bool {
        self.update(hash, |known| match told {
            Told::Done => known.readers.push(recipient.to_owned()),
            Told::Refused | Told::Nothing => known.unknown.push(recipient.to_owned()),
        });
        !matches!(told, Told::Nothing)
    }

    async fn revoke(&self, node: &Node, hash: &str) -> bool {
        if !self.known(hash).readers.contains(&SOMEBODY.to_owned()) {
            return true;
        }
        // From now on nobody may rely on it.
        self.update(hash, |known| known.readers.retain(|reader| reader != SOMEBODY));
        let request = node.request(Method::DELETE, &format!("/data/{hash}/grants"));
        let told = told(request.json(&json!({"recipient": SOMEBODY}))).await;
        if !matches!(told, Told::Done) {
            self.update(hash, |known| known.unknown.push(SOMEBODY.to_owned()));
        }
        !matches!(told, Told::Nothing)
    }

    async fn erase(&self, node: &Node, hash: &str) -> bool {
        if !self.known(hash).exists() {
            return true;
        }
        self.update(hash, |known| known.erased = None);
        let told = told(node.request(Method::DELETE, &format!("/data/{hash}"))).await;
        if matches!(told, Told::Done) {
            self.update(hash, |known| known.erased = Some(true));
        }
        !matches!(told, Told::Nothing)
    }

    /// Holds what the node says now against what its clients were told.
    async fn check(&self, node: &Node, hashes: &[String]) {
        for hash in hashes {
            let known = self.known(hash);
            match known.erased {
                Some(false) if known.exists() => self.check_present(node, hash, &known).await,
                Some(false) => self.check_whole_or_gone(node, hash, &known).await,
                Some(true) => assert_eq!(
                    node.object(hash).await.0,
                    StatusCode::NOT_FOUND,
                    "{hash} is erased"
                ),
                // It was begun or not; it is the one or the other.
                None => {
                    eventually("an erasure is done or was never begun", || async {
                        let (status, data) = node.object(hash).await;
                        (status == StatusCode::NOT_FOUND || data == known.bytes()).then_some(())
                    })
                    .await;
                }
            }
        }
    }

    /// What was acknowledged is there, and verified.
    async fn check_present(&self, node: &Node, hash: &str, known: &Known) {
        let (status, data) = node.object(hash).await;
        assert!(
            status == StatusCode::OK && data == known.bytes(),
            "{hash}: {status}"
        );
        node.verifies(hash).await;
        // Nobody has the key of an account without a node.
        for reader in known.readers.iter().filter(|reader| *reader != SOMEBODY) {
            eventually("a reader is granted access", || async {
                readers(node, hash).await.contains(reader).then_some(())
            })
            .await;
        }
    }

    /// The buyer reads some of what it was told to have.
    async fn check_buyer(&self, hashes: &[String]) {
        let buyer = self.buyer.address().to_owned();
        let is_the_buyers = |known: &Known| known.exists() && known.readers.contains(&buyer);
        for hash in hashes
            .iter()
            .filter(|hash| is_the_buyers(&self.known(hash)))
            .take(2)
        {
            assert!(self.buyer.reads(hash).await == self.known(hash).bytes(), "{hash}");
        }
    }

    /// Of what nobody was told, everything is there or nothing.
    async fn check_whole_or_gone(&self, node: &Node, hash: &str, known: &Known) {
        eventually("a share is whole or gone", || async {
            let (status, data) = node.object(hash).await;
            let recorded = events(node, hash).await;
            match status {
                StatusCode::OK => (data == known.bytes() && recorded == 1).then_some(()),
                _ => (recorded == 0).then_some(()),
            }
        })
        .await;
    }

    /// Nothing stands in the log twice, and every paid share was paid for once.
    async fn check_all(&self, node: &Node, round: u64) {
        let shared = all_events(node, "data_share").await;
        let mut seen = std::collections::BTreeSet::new();
        for event in &shared {
            let name = (event["data_hash"].to_string(), event["recipient"].to_string());
            assert!(seen.insert(name.clone()), "{name:?} is recorded twice");
        }
        let known = self.known.lock().unwrap().clone();
        let is_sold = |hash: &&String| seen.iter().any(|(of, _)| of == &format!("\"{hash}\""));
        let paid: Vec<&String> = known
            .iter()
            .filter(|(_, known)| known.is_paid)
            .map(|(hash, _)| hash)
            .collect();
        let expected = u128::from(paid.into_iter().filter(is_sold).count() as u64 * PRICE);
        eventually("every share is paid for once", || async {
            (self.buyer.balance(node.address(), &self.token).await == expected).then_some(())
        })
        .await;
        println!("round {round}: {} pieces of data so far", known.len());
    }
}

async fn readers(node: &Node, hash: &str) -> Vec<String> {
    let (status, body) = node.get(&format!("/data/{hash}/grants")).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    serde_json::from_value(body["recipients"].clone()).unwrap()
}

async fn all_events(node: &Node, kind: &str) -> Vec<Value> {
    let (mut events, mut cursor) = (Vec::new(), String::new());
    loop {
        let route = format!("/compliance_history?filters={kind}&limit=1000{cursor}");
        let (status, page) = node.get(&route).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        events.extend(page["history"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return events,
        }
    }
}

/// Events that say that this data was shared.
async fn events(node: &Node, hash: &str) -> usize {
    let shared = all_events(node, "data_share").await;
    shared.iter().filter(|event| event["data_hash"] == *hash).count()
}

#[tokio::test]
async fn after_kill_9_under_mixed_load_everything_is_what_clients_were_told() {
    let (rounds, seed) = (setting("KILL_ROUNDS", FEW_ROUNDS), setting("KILL_SEED", 1));
    let (scene, mut node) = Scene::new().await;
    for round in 0..rounds {
        let mut random = StdRng::seed_from_u64(seed + round);
        let before: Vec<String> = scene.known.lock().unwrap().keys().cloned().collect();
        let clients = (0..CLIENTS).map(|client| scene.load(&node, (seed + round) * 100 + client));
        let moment = Duration::from_millis(random.random_range(20..LONGEST_ROUND_MS));
        tokio::join!(join_all(clients), async {
            tokio::time::sleep(moment).await;
            kill_9(node.id()).await;
        });
        node = node.kill().await.start().await;
        let all: Vec<String> = scene.known.lock().unwrap().keys().cloned().collect();
        let mut looked_at: Vec<String> = all.into_iter().filter(|hash| !before.contains(hash)).collect();
        for _ in 0..LOOKED_AT_AGAIN.min(before.len()) {
            looked_at.push(before[random.random_range(0..before.len())].clone());
        }
        scene.check(&node, &looked_at).await;
        scene.check_buyer(&looked_at).await;
        scene.check_all(&node, round).await;
    }
    let all: Vec<String> = scene.known.lock().unwrap().keys().cloned().collect();
    scene.check(&node, &all).await;
}
