//! Two nodes on loopback, each with a store on the disk: one stores an object, the other finds
//! it in the network and fetches it. The code is that of the README of `dm-p2p`.

use std::{error::Error, net::IpAddr, path::Path, sync::Arc, time::Duration};

use dm_core::{
    bus::EventBus,
    clock::now_ms,
    config::StorageConfig,
    envelope::{ChunkListHasher, Envelope, ObjectId, SignedEnvelope},
    hash::DataHash,
    ports::{NetworkStatus, ObjectExchange, Sealer, Signer},
    secret::ContentKey,
    signed::Signed,
    tasks::Supervisor,
    trace::Trace,
};
use dm_keys::{FernetSealer, LocalAccount};
use dm_p2p::{Identity, P2p, P2pConfig, P2pDeps};
use dm_storage::{SqliteCatalog, Storage};
use futures::TryStreamExt;

/// A peer with its own account, store and peer book.
struct Peer {
    account: LocalAccount,
    storage: Storage,
    network: Arc<P2p>,
}

impl Peer {
    async fn start(
        folder: &Path,
        initial_peers: Vec<String>,
        tasks: &Supervisor,
    ) -> Result<Self, Box<dyn Error>> {
        let account = LocalAccount::random();
        let storage = Storage::open(&folder.join("objects"), &StorageConfig::default())?;
        let peer_book = Arc::new(SqliteCatalog::open(folder.join("catalog.sqlite")).await?);

        let mut config = P2pConfig::new(Identity::generate(), account.address());
        config.network.host = IpAddr::from([127, 0, 0, 1]);
        config.initial_peers = initial_peers;
        let deps = P2pDeps {
            quota: Some(storage.quota()),
            ..P2pDeps::new(storage.objects(), peer_book, EventBus::new())
        };
        let network = P2p::start(config, deps, tasks).await?;
        Ok(Self {
            account,
            storage,
            network,
        })
    }

    /// Stores these bytes as an object of this peer: one sealed chunk and its signed envelope.
    async fn store(&self, key: &ContentKey, data: &[u8]) -> Result<ObjectId, Box<dyn Error>> {
        let chunk = FernetSealer.seal(key, data);
        let mut names = ChunkListHasher::default();
        names.push(&chunk.name());
        let id = ObjectId {
            locator: DataHash::of(data).locator(),
            owner: self.account.address(),
        };
        let envelope = Envelope {
            id,
            size: data.len() as u64,
            chunk_list: names.finish(),
            sequence: 1,
            created_at: now_ms(),
            grants: Vec::new(),
            attachments: Vec::new(),
            expires_at: None,
        };
        let envelope: SignedEnvelope = Signed::sign(envelope, &self.account)?;

        let mut writer = self.storage.objects().create().await?;
        writer.append(chunk).await?;
        writer.finish(&envelope).await?;
        Ok(id)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let tasks = Supervisor::new();
    let owner = Peer::start(&folder.path().join("owner"), Vec::new(), &tasks).await?;
    let initial_peers = owner.network.listen_addresses();
    let reader = Peer::start(&folder.path().join("reader"), initial_peers, &tasks).await?;
    while reader.network.stats().active_peers == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    let key = ContentKey::random();
    let id = owner.store(&key, b"hello").await?;

    // Peers see the locator alone. The chunks are checked as they arrive.
    let trace = Trace::default();
    let found = reader.network.find(&id.locator, &[id.owner], &trace).await?;
    let envelope = found.first().ok_or("no peer has the object")?;
    let chunks: Vec<_> = reader.network.fetch(envelope, 0, &trace).try_collect().await?;
    let chunk = chunks.first().ok_or("the object has no chunk")?;
    assert_eq!(FernetSealer.open(&key, chunk.bytes())?, b"hello");
    println!("{} fetched {id:?}", reader.account.address());

    tasks.shut_down(Duration::from_secs(5)).await;
    owner.storage.close().await?;
    reader.storage.close().await?;
    Ok(())
}
