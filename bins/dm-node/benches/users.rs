//! What authorised users cost a share: ten thousand of them beside none and
//! beside one, over the SQLite catalog.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what fails ends the benchmark"
)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use dm_core::{
    Address,
    bus::EventBus,
    clock::now_ms,
    config::UploadsConfig,
    hash::DataHash,
    mandate::{PresentedMandate, ShareDomain, ShareStatement},
    ports::Signer,
    share::ShareTerms,
};
use dm_keys::PublicKeys;
use dm_services::{
    AuthorizationConfig, AuthorizationPorts, Authorizer, DataConfig, DataManager, DataPorts, LateNews,
    ShareAuthorization,
};
use dm_storage::SqliteCatalog;
use dm_testing::{
    compliance::{MemoryComplianceLog, TestLedger},
    crypto::{MemoryGrants, MemoryKeyRing, MemorySealer},
    money::MemoryMoney,
    network::MemoryNetwork,
    objects::MemoryObjectStore,
    signer::TestSigner,
    user_keys::signed,
};
use tempfile::TempDir;

/// Shares whose times are taken; the median counts.
const SHARES: u32 = 201;
const MANY: u32 = 10_000;

struct BenchNode {
    data: DataManager,
    authorization: ShareAuthorization,
    address: Address,
    alice: TestSigner,
    _folder: TempDir,
}

/// A node with so many users; `None` for one that knows nothing of users.
async fn node(users: Option<u32>) -> BenchNode {
    let folder = tempfile::tempdir().unwrap();
    let catalog = SqliteCatalog::open(folder.path().join("catalog.sqlite"))
        .await
        .unwrap();
    let catalog = Arc::new(catalog);
    let (signer, alice) = (Arc::new(TestSigner::new(1)), TestSigner::new(2));
    let address = signer.address();
    let authorizer = Authorizer::new(catalog.clone(), Arc::new(PublicKeys));
    let key = alice.address().to_string();
    for n in 0..users.unwrap_or_default() {
        authorizer
            .add(format!("user-{n}").parse().unwrap(), &key)
            .await
            .unwrap();
    }
    let authorization = ShareAuthorization::new(
        AuthorizationPorts {
            authorizer,
            used: catalog.clone(),
            chain: Arc::new(MemoryMoney::new()),
        },
        AuthorizationConfig {
            required: false,
            node_id: "bench".to_owned(),
            log: address,
        },
    );
    let objects = Arc::new(MemoryObjectStore::new());
    let ports = DataPorts {
        network: MemoryNetwork::new().join(objects.clone()),
        unfinished: objects.clone(),
        objects,
        catalog: catalog.clone(),
        sealer: Arc::new(MemorySealer),
        key_ring: Arc::new(MemoryKeyRing::default()),
        grants: Arc::new(MemoryGrants::new(address)),
        signer,
        operators: None,
        log: Arc::new(MemoryComplianceLog::new(address, &TestLedger::new())),
        payments: None,
        authorization: users.map(|_| authorization.clone()),
        attestation: None,
        instances: None,
        deliveries: None,
        late_news: LateNews::default(),
        plugins: None,
        bus: EventBus::new(),
    };
    let settings = DataConfig {
        replication_factor: 0,
        anchor_patience: Duration::from_secs(5),
        retry_interval: Duration::from_secs(15),
        uploads: UploadsConfig::default(),
    };
    BenchNode {
        data: DataManager::new(&ports, settings).unwrap(),
        authorization,
        address,
        alice,
        _folder: folder,
    }
}

impl BenchNode {
    fn order(&self, data: &str) -> PresentedMandate {
        let statement = ShareStatement {
            chain_id: 31337,
            data_hash: DataHash::of(data.as_bytes()),
            expires_at: now_ms() + 3_600_000,
            log: self.address,
            node_id: "bench".to_owned(),
            payment: None,
            recipient: self.address,
            statement: ShareDomain::V1,
            user_id: "user-0".parse().unwrap(),
        };
        let text = statement.canonical().unwrap();
        PresentedMandate {
            user_id: "user-0".to_owned(),
            signature: signed(&self.alice, &text),
            statement: text,
        }
    }

    /// The time of one share of new data.
    async fn share(&self, n: u32, is_ordered: bool) -> Duration {
        let data = format!("data {n} {is_ordered}");
        let order = is_ordered.then(|| self.order(&data));
        let begun = Instant::now();
        let terms = ShareTerms::with(self.address);
        let terms = self.authorization.admit(order, terms).await.unwrap();
        self.data.share_bytes(data.into(), terms).await.unwrap();
        begun.elapsed()
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Both by turns, so that what else the machine does meets both.
async fn compare(what: &str, one: (&BenchNode, bool), other: (&BenchNode, bool)) {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for n in 0..SHARES {
        first.push(one.0.share(n, one.1).await);
        second.push(other.0.share(n, other.1).await);
    }
    let (first, second) = (median(first), median(second));
    let ratio = second.as_secs_f64() / first.as_secs_f64();
    println!("{what}: {first:?} and {second:?}, ratio {ratio:.3}");
}

#[tokio::main]
async fn main() {
    let none = node(None).await;
    let many = node(Some(MANY)).await;
    compare(
        "a share without an order, without users and with 10,000",
        (&none, false),
        (&many, false),
    )
    .await;
    let one = node(Some(1)).await;
    compare(
        "an ordered share, with one user and with 10,000",
        (&one, true),
        (&many, true),
    )
    .await;
}
