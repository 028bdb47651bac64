//! Peers that keep copies, and lie about them and about others.

use std::{net::IpAddr, sync::Arc, time::Duration};

use dm_core::{
    Address,
    address_record::{AddressRecord, SignedAddressRecord},
    bus::EventBus,
    config::NetworkConfig,
    envelope::CHUNK_SIZE,
    hash::DataHash,
    ports::{AddressDirectory, NetworkStatus, ObjectStore, Signer},
    signed::Signed,
    tasks::Supervisor,
};
use dm_p2p::{Identity, P2p, P2pConfig, P2pDeps};
use dm_testing::{
    catalog::MemoryCatalog, network::LyingStore, objects::MemoryObjectStore, signer::TestSigner,
    waiting::eventually_within,
};
use reqwest::{Method, StatusCode};
use tempfile::tempdir;

use crate::support::{Devnet, FUNDED_KEYS, Node, NodeSetup, bytes, copies::held_version, eventually};

/// How long it may take until all have copies: a busy machine interrupts pushes, and each is tried
/// again after a pause.
const SPREADING: Duration = Duration::from_secs(300);
/// How often the reader asks while only liars have the object.
const ATTEMPTS: usize = 6;

/// A peer within this process that serves wrong chunks.
struct Liar {
    p2p: Arc<P2p>,
    /// What it has, as it came.
    store: MemoryObjectStore,
    /// The peer runs as long as this does.
    _supervisor: Supervisor,
}

impl Liar {
    /// A peer whose chunks are wrong from this one on.
    async fn start(first_lie: u64, initial_peers: Vec<String>) -> Self {
        let store = MemoryObjectStore::new();
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
                Arc::new(LyingStore::from_chunk(Arc::new(store.clone()), first_lie)),
                Arc::new(MemoryCatalog::new()),
                EventBus::new(),
            ),
            &supervisor,
        )
        .await
        .unwrap();
        Self {
            p2p,
            store,
            _supervisor: supervisor,
        }
    }

    /// Whether it has a copy that this account may read.
    async fn tempts(&self, data_hash: &str, account: &str) -> bool {
        let (data_hash, account): (DataHash, Address) =
            (data_hash.parse().unwrap(), account.parse().unwrap());
        let envelopes = self.store.envelopes(&data_hash.locator()).await.unwrap();
        envelopes.iter().any(|envelope| envelope.grants_to(account))
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

    // Copies that a busy machine kept from being made are tried again soon.
    let owner = setup(0)
        .peer(&honest)
        .env("DM_NETWORK__HEALTH_CHECK_INTERVAL_SECS", "1")
        .env("DM_NETWORK__RETRY_INTERVAL_SECS", "1")
        .start()
        .await;
    owner.has_peers(4).await;
    let data = bytes(5 * CHUNK_SIZE as usize + 123, 11);
    let (status, answer) = owner.put(data.clone(), reader.address()).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let hash = answer["data_hash"].as_str().unwrap().to_owned();
    // The copies that the owner counts would not do: it soon finds out who lies, and counts it no
    // more.
    eventually_within(SPREADING, "all others have copies with a grant", async || {
        let tempted =
            liar.tempts(&hash, reader.address()).await && late_liar.tempts(&hash, reader.address()).await;
        let held = held_version(&honest, &hash).await;
        (tempted && held.is_some() && held == held_version(&owner, &hash).await).then_some(())
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
