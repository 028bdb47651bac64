use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use alloy_primitives::Address;
use async_trait::async_trait;
use dm_core::{
    address_record::{Announcement, SignedAddressRecord},
    clock::now_ms,
    envelope::{Chunk, ChunkListHasher, ObjectId, SignedEnvelope},
    hash::{ChunkName, Locator},
    peer::{NetworkStats, PeerRecord, PeerStanding, PeerStatus},
    ports::{
        AddressDirectory, Evidence, FetchError, Found, NetworkError, NetworkStatus, NotTaken, ObjectExchange,
        ObjectStore, PushReport, StoreError,
    },
    signed::Signed,
    trace::{AskedFor, Exchanged, PeerPath, Trace},
};
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};

use super::{
    notices::{Kept, Recipient},
    replication::News,
};

/// Owners that are told apart under one locator.
const MAX_OWNERS: usize = 64;

/// A network within one process: every node reaches every other that is
/// online. Clones are the same network.
#[derive(Clone, Default)]
pub struct MemoryNetwork {
    hub: Arc<Mutex<Hub>>,
}

#[derive(Default)]
pub(super) struct Hub {
    nodes: BTreeMap<String, Weak<MemoryNode>>,
    pub(super) records: HashMap<Address, SignedAddressRecord>,
    pub(super) notices: Kept,
}

/// A node of a [`MemoryNetwork`].
pub struct MemoryNode {
    pub(super) network: MemoryNetwork,
    peer_id: String,
    pub(super) objects: Arc<dyn ObjectStore>,
    online: AtomicBool,
    stall: Mutex<Option<Stall>>,
    pub(super) news: News,
    pub(super) recipient: Recipient,
}

/// What peers of a node begin and never go on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stall {
    /// They take objects.
    Pushes,
    /// They send objects of this owner.
    FetchesOf(Address),
}

impl MemoryNetwork {
    /// A network without nodes.
    pub fn new() -> Self {
        Self::default()
    }

    /// A new node that keeps its objects in this store. It leaves when it is dropped.
    pub fn join(&self, objects: Arc<dyn ObjectStore>) -> Arc<MemoryNode> {
        let mut hub = self.hub();
        let node = Arc::new(MemoryNode {
            network: self.clone(),
            peer_id: format!("memory-peer-{}", hub.nodes.len()),
            objects,
            online: AtomicBool::new(true),
            stall: Mutex::default(),
            news: News::default(),
            recipient: Recipient::default(),
        });
        hub.nodes.insert(node.peer_id.clone(), Arc::downgrade(&node));
        node
    }

    fn node(&self, peer_id: &str) -> Option<Arc<MemoryNode>> {
        let node = self.hub().nodes.get(peer_id)?.upgrade()?;
        node.is_online().then_some(node)
    }

    pub(super) fn hub(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap()
    }
}

impl MemoryNode {
    /// Takes the node off the network, or back on it: offline it reaches
    /// nobody, and nobody reaches it.
    pub fn set_online(&self, online: bool) {
        self.online.store(online, Ordering::SeqCst);
    }

    /// From now on the node waits for this in vain.
    pub fn stall(&self, stall: Stall) {
        *self.stall.lock().unwrap() = Some(stall);
    }

    fn is_stalled(&self, stall: Stall) -> bool {
        *self.stall.lock().unwrap() == Some(stall)
    }

    fn is_online(&self) -> bool {
        self.online.load(Ordering::SeqCst)
    }

    /// All others that this node reaches.
    pub(super) fn others(&self) -> Vec<Arc<MemoryNode>> {
        if !self.is_online() {
            return Vec::new();
        }
        let nodes: Vec<_> = self
            .network
            .hub()
            .nodes
            .values()
            .filter_map(Weak::upgrade)
            .collect();
        nodes
            .into_iter()
            .filter(|node| node.peer_id != self.peer_id && node.is_online())
            .collect()
    }

    /// Another node, where both are online.
    pub(super) fn reach(&self, peer_id: &str) -> Option<Arc<MemoryNode>> {
        self.is_online().then(|| self.network.node(peer_id)).flatten()
    }

    /// Brings an object to `copies` others, and to none of `avoid`.
    pub(super) async fn push_past(
        &self,
        object: &ObjectId,
        copies: usize,
        avoid: &[String],
    ) -> Result<PushReport, NetworkError> {
        let envelope = match self.objects.envelope(object).await {
            Ok(Some(envelope)) => envelope,
            Ok(None) => return Err(NetworkError::Local(StoreError::Missing.to_string())),
            Err(error) => return Err(NetworkError::Local(error.to_string())),
        };
        let mut report = PushReport::default();
        let others = self.others().into_iter();
        for other in others.filter(|other| !avoid.contains(&other.peer_id)) {
            if report.holders.len() >= copies {
                break;
            }
            match self.copy_to(&other, &envelope).await {
                Ok(()) => {
                    let sender = vec![self.peer_id.clone()];
                    other.news.tell(*object, sender, Evidence::Transferred);
                    report.holders.push(other.peer_id.clone());
                }
                Err(StoreError::Full) => report.not_taken = report.not_taken.max(Some(NotTaken::Full)),
                Err(_) => report.not_taken = report.not_taken.max(Some(NotTaken::Busy)),
            }
        }
        let holders = report.holders.clone();
        self.news.tell(*object, holders, Evidence::Transferred);
        Ok(report)
    }

    /// Brings an object of this node's store into the store of another.
    async fn copy_to(&self, other: &MemoryNode, envelope: &SignedEnvelope) -> Result<(), StoreError> {
        if envelope.is_expired(now_ms()) {
            return Err(StoreError::Stale {
                stored: envelope.sequence,
            });
        }
        let held = other.objects.envelope(&envelope.id).await?;
        if let Some(held) = held.filter(|held| held.chunk_list == envelope.chunk_list) {
            if held.sequence < envelope.sequence {
                other.objects.replace_envelope(envelope).await?;
            }
            return if held.sequence > envelope.sequence {
                Err(StoreError::Stale {
                    stored: held.sequence,
                })
            } else {
                Ok(())
            };
        }
        let mut writer = other.objects.create().await?;
        for index in 0..envelope.chunk_count() {
            writer
                .append(self.objects.chunk(&envelope.id, index).await?)
                .await?;
        }
        writer.finish(envelope).await
    }
}

#[async_trait]
impl AddressDirectory for MemoryNode {
    async fn announce(&self, own: Announcement) -> Result<(), NetworkError> {
        let record = own.newest();
        if !self.is_online() || Signed::verify(record.bytes().clone()).as_ref() != Ok(record) {
            return Ok(());
        }
        let mut hub = self.network.hub();
        let held = hub.records.get(&record.address).map(|held| held.sequence);
        if held.is_none_or(|held| held <= record.sequence) {
            hub.records.insert(record.address, record.clone());
        }
        Ok(())
    }

    async fn find_address(&self, address: Address) -> Result<Option<SignedAddressRecord>, NetworkError> {
        if !self.is_online() {
            return Ok(None);
        }
        Ok(self.network.hub().records.get(&address).cloned())
    }
}

#[async_trait]
impl ObjectExchange for MemoryNode {
    async fn push(&self, object: &ObjectId, copies: usize) -> Result<PushReport, NetworkError> {
        if self.is_stalled(Stall::Pushes) {
            std::future::pending::<()>().await;
        }
        self.push_past(object, copies, &[]).await
    }

    async fn find(
        &self,
        locator: &Locator,
        owners: &[Address],
        trace: &Trace,
    ) -> Result<Vec<Found>, NetworkError> {
        let mut found: BTreeMap<Address, Found> = BTreeMap::new();
        let mut answers = Vec::new();
        for other in self.others() {
            let envelopes = other.objects.envelopes(locator).await.unwrap_or_default();
            let bytes = envelopes
                .iter()
                .map(|envelope| envelope.bytes().len() as u64)
                .sum();
            trace.exchanged(exchanged(
                &other.peer_id,
                AskedFor::Envelopes,
                envelopes.len() as u64,
                bytes,
            ));
            for envelope in envelopes {
                answers.push((other.peer_id.clone(), envelope));
            }
        }
        for (_, envelope) in &answers {
            let entry = found.entry(envelope.id.owner).or_insert_with(|| Found {
                envelope: envelope.clone(),
                holders: Vec::new(),
            });
            if entry.envelope.sequence < envelope.sequence {
                entry.envelope = envelope.clone();
            }
        }
        for (peer_id, envelope) in answers {
            let entry = found.get_mut(&envelope.id.owner);
            if let Some(entry) = entry.filter(|entry| entry.envelope.chunk_list == envelope.chunk_list) {
                entry.holders.push(peer_id);
            }
        }
        let mut found: Vec<Found> = found.into_values().collect();
        found.sort_by_key(|found| !owners.contains(&found.envelope.id.owner));
        found.truncate(MAX_OWNERS);
        Ok(found)
    }

    async fn find_at_known(&self, _: &Locator, _: &[Address], _: &Trace) -> Result<Vec<Found>, NetworkError> {
        Ok(Vec::new())
    }

    fn fetch(
        &self,
        found: &Found,
        first: u64,
        trace: &Trace,
    ) -> BoxStream<'static, Result<Chunk, FetchError>> {
        if self.is_stalled(Stall::FetchesOf(found.envelope.id.owner)) {
            return stream::pending().boxed();
        }
        let holders = if self.is_online() {
            found.holders.clone()
        } else {
            Vec::new()
        };
        let (network, envelope) = (self.network.clone(), found.envelope.clone());
        let trace = trace.clone();
        let indexes = stream::iter(first..envelope.chunk_count());
        let chunks = indexes.then(move |index| {
            let (network, envelope, holders) = (network.clone(), envelope.clone(), holders.clone());
            let trace = trace.clone();
            async move { honest_chunk(&network, &envelope, &holders, index, &trace).await }
        });
        // The stream ends after its first error.
        let ended = chunks.scan(false, |ended, chunk| {
            let item = (!*ended).then_some(chunk);
            *ended |= matches!(item, Some(Err(_)));
            futures::future::ready(item)
        });
        ended.boxed()
    }
}

impl NetworkStatus for MemoryNode {
    fn peers(&self) -> Vec<PeerStatus> {
        let status = |node: Arc<MemoryNode>| PeerStatus {
            record: PeerRecord {
                peer_id: node.peer_id.clone(),
                addresses: vec![format!("/memory/{}", node.peer_id)],
                first_seen: 0,
                last_seen: 0,
                latency_ms: None,
                successes: 0,
                failures: 0,
            },
            connected: true,
            healthy: true,
            standing: PeerStanding::default(),
        };
        self.others().into_iter().map(status).collect()
    }

    fn stats(&self) -> NetworkStats {
        let peers = self.others().len() as u64;
        NetworkStats {
            total_peers: peers,
            healthy_peers: peers,
            active_peers: peers,
            ..NetworkStats::default()
        }
    }

    fn local_peer_id(&self) -> String {
        self.peer_id.clone()
    }

    fn listen_addresses(&self) -> Vec<String> {
        vec![format!("/memory/{}", self.peer_id)]
    }

    fn is_running(&self) -> bool {
        self.is_online()
    }
}

/// An exchange that takes no time.
fn exchanged(peer_id: &str, asked_for: AskedFor, items: u64, bytes: u64) -> Exchanged {
    Exchanged {
        peer_id: peer_id.to_owned(),
        paths: vec![PeerPath {
            address: format!("/memory/{peer_id}"),
            transport: "memory".to_owned(),
            relayed: false,
        }],
        asked_for,
        items,
        bytes,
        took: Duration::ZERO,
        error: None,
    }
}

/// The chunk at `index` from the first holder that has the right one.
async fn honest_chunk(
    network: &MemoryNetwork,
    envelope: &SignedEnvelope,
    holders: &[String],
    index: u64,
    trace: &Trace,
) -> Result<Chunk, FetchError> {
    for holder in holders {
        let Some(node) = network.node(holder) else {
            continue;
        };
        let name = checked_name(&*node.objects, envelope, index).await;
        let chunk = node.objects.chunk(&envelope.id, index).await;
        if let (Some(name), Ok(chunk)) = (name, chunk)
            && chunk.name() == name
        {
            let bytes = chunk.bytes().len() as u64;
            trace.exchanged(exchanged(holder, AskedFor::Chunks, 1, bytes));
            return Ok(chunk);
        }
    }
    Err(FetchError::NoHolder(format!("nobody delivers chunk {index}")))
}

/// The name of a chunk, if the holder's names are those of the envelope.
pub(super) async fn checked_name(
    objects: &dyn ObjectStore,
    envelope: &SignedEnvelope,
    index: u64,
) -> Option<ChunkName> {
    let count = usize::try_from(envelope.chunk_count()).ok()?;
    let names = objects.chunk_names(&envelope.id, 0, count).await.ok()?;
    let mut digest = ChunkListHasher::default();
    names.iter().for_each(|name| digest.push(name));
    (digest.finish() == envelope.chunk_list)
        .then(|| names.get(usize::try_from(index).ok()?).copied())
        .flatten()
}
