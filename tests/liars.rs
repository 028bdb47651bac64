//! Peers that keep copies, and lie about them and about others.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use dm_core::{
    Address,
    address_record::{AddressRecord, SignedAddressRecord},
    bus::EventBus,
    config::NetworkConfig,
    envelope::CHUNK_SIZE,
    ports::{AddressDirectory, NetworkStatus, ObjectStore, Signer},
    signed::Signed,
    tasks::Supervisor,
};
use dm_p2p::{Identity, P2p, P2pConfig, P2pDeps};
use dm_testing::{
    catalog::MemoryCatalog, network::LyingStore, objects::MemoryObjectStore, signer::TestSigner,
};
use reqwest::{Method, StatusCode};
use tempfile::tempdir;

use crate::support::{Devnet, FUNDED_KEYS, Node, NodeSetup, bytes, eventually};

/// How often the reader asks while only liars have the object.
const ATTEMPTS: usize = 6;

/// A peer within this process that serves wrong chunks.
struct Liar {
    p2p: Arc<P2p>,
    /// The peer runs as long as this does.
    _supervisor: Supervisor,
}

impl Liar {
    /// A peer whose chunks are wrong from this one on.
    async fn start(first_lie: u64, initial_peers: Vec<String>) -> Self {
        let store: Arc<dyn ObjectStore> = Arc::new(MemoryObjectStore::new());
        let config = P2pConfig {
            initial_peers,
            network: NetworkConfig {
                host: IpAddr::from([127, 0, 0, 1]),
                ..NetworkConfig::default()
            },
            ..P2pConfig::new(Identity::generate(), Address::ZERO)
        };
        let supervisor = Supervisor::new();
        let p2p = P2p::start(
            config,
            P2pDeps::new(
                Arc::new(LyingStore::from_chunk(store, first_lie)),
                Arc::new(MemoryCatalog::new()),
                EventBus::new(),
            ),
            &supervisor,
        )
        .await
        .unwrap();
        Self {
            p2p,
            _supervisor: supervisor,
        }
    }

    fn address(&self) -> String {
        self.p2p.listen_addresses().remove(0)
    }

    /// Tells the network that grants for this account are made for a key of
    /// the liar's.
    async fn pose_as(&self, account: &str) {
        let record = AddressRecord::new(
            account.parse().unwrap(),
            [9; 32],
            self.p2p.local_peer_id(),
            u64::MAX,
        );
        self.p2p.announce(signed_by_nobody(&record).into()).await.unwrap();
    }
}

/// A record under the signature of another account.
fn signed_by_nobody(record: &AddressRecord) -> SignedAddressRecord {
    let signer = TestSigner::new(1);
    let own = AddressRecord {
        address: signer.address(),
        ..record.clone()
    };
    let mut bytes = Signed::sign(own, &signer).unwrap().bytes().to_vec();
    let position = bytes
        .windows(20)
        .position(|bytes| bytes == signer.address().as_slice())
        .unwrap();
    bytes[position..position + 20].copy_from_slice(record.address.as_slice());
    assert!(SignedAddressRecord::verify(bytes.clone().into()).is_err());
    Signed::from_trusted(bytes.into()).unwrap()
}

/// What came of a read: all bytes, or those before it broke off.
enum Outcome {
    Whole(Vec<u8>),
    Refused(StatusCode),
    BrokenOff(Vec<u8>),
}

async fn read(node: &Node, hash: &str) -> Outcome {
    let request = node.request(Method::GET, &format!("/objects/{hash}"));
    let mut response = request.send().await.unwrap();
    if response.status() != StatusCode::OK {
        return Outcome::Refused(response.status());
    }
    let mut read = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(piece)) => read.extend_from_slice(&piece),
            Ok(None) => return Outcome::Whole(read),
            Err(_) => return Outcome::BrokenOff(read),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lying_provider_cannot_make_a_reader_accept_wrong_bytes() {
    let chain_home = tempdir().unwrap();
    let chain = Devnet::start(chain_home.path()).await;
    let homes = [tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap()];
    // One lies at once, the other in the middle.
    let liar = Liar::start(0, Vec::new()).await;
    let late_liar = Liar::start(3, vec![liar.address()]).await;
    let setup = |number: usize| {
        NodeSetup::new(homes[number].path())
            .on_chain(&chain.url, FUNDED_KEYS[number])
            .peer_at(&liar.address())
            .peer_at(&late_liar.address())
    };
    let honest = setup(1).start().await;
    // It keeps no copy for others: it has to ask.
    let reader = setup(2)
        .peer(&honest)
        .env("DM_NETWORK__MAX_FOREIGN_BYTES", "0")
        .start()
        .await;
    reader.has_peers(3).await;
    late_liar.pose_as(reader.address()).await;

    // A peer that was too busy to answer is asked again soon.
    let owner = setup(0)
        .peer(&honest)
        .env("DM_NETWORK__HEALTH_CHECK_INTERVAL_SECS", "1")
        .start()
        .await;
    owner.has_peers(4).await;
    // A busy peer may take no copy: the honest one and a liar are enough. A liar is found out
    // soon, so that each attempt is made with other data.
    let attempts = AtomicU64::new(11);
    let (data, hash) = eventually("others have copies, and the reader a grant", || async {
        let seed = attempts.fetch_add(1, Ordering::Relaxed);
        let data = bytes(5 * CHUNK_SIZE as usize + 123, seed);
        let (status, answer) = owner.put(data.clone(), reader.address()).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        let hash = answer["data_hash"].as_str().unwrap().to_owned();
        let (status, _) = honest.get(&format!("/network/objects/{hash}")).await;
        let held = status == StatusCode::OK && answer["replicas"].as_u64() >= Some(2);
        (held && answer["grant"].is_null()).then_some((data, hash))
    })
    .await;
    owner.kill().await;
    let honest = honest.kill().await;

    let mut tempted = false;
    for _ in 0..ATTEMPTS {
        match read(&reader, &hash).await {
            Outcome::Whole(_) => panic!("what the liars sent was accepted"),
            Outcome::BrokenOff(read) => {
                assert!(
                    read.len() < data.len() && data.starts_with(&read),
                    "wrong bytes were handed on"
                );
                tempted = true;
            }
            Outcome::Refused(status) => {
                assert!(!status.is_success(), "{status}");
                tempted |= status != StatusCode::NOT_FOUND;
            }
        }
    }
    assert!(tempted, "the liars were never asked");

    let _honest = honest.peer(&reader).start().await;
    let right = eventually("the honest copy is read", || async {
        match read(&reader, &hash).await {
            Outcome::Whole(read) => Some(read),
            Outcome::BrokenOff(read) => {
                assert!(data.starts_with(&read), "wrong bytes were handed on");
                None
            }
            Outcome::Refused(_) => None,
        }
    })
    .await;
    assert!(right == data);
}
