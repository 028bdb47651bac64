use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use dm_core::{
    Address,
    address_record::Announcement,
    config::NetworkConfig,
    ports::{HolderIndex, ObjectStore},
    span::Tracer,
};
use libp2p::{Multiaddr, PeerId};

use super::{paths::Paths, runner_handle::RunnerHandle};
use crate::{
    client::StreamPool,
    config::{P2pConfig, P2pDeps},
    dht::{ProvideQueue, ProviderRecords},
    holder_updates::HolderUpdates,
    notices::{NoticeHolder, NoticeRoutes},
    peers::Peers,
    server::ForeignRoom,
    traffic::Traffic,
};

/// What the parts of a running node share.
pub(crate) struct Context {
    pub(crate) local: PeerId,
    pub(crate) own_address: Address,
    pub(crate) network: NetworkConfig,
    pub(crate) initial_peers: usize,
    pub(crate) objects: Arc<dyn ObjectStore>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) runner: RunnerHandle,
    pub(crate) paths: Paths,
    pub(crate) streams: StreamPool,
    /// Streams on which letters are brought.
    pub(crate) notice_streams: StreamPool,
    pub(crate) provide: ProvideQueue,
    /// What others provide.
    pub(crate) providers: Arc<ProviderRecords>,
    /// What was learned about holders of objects.
    pub(crate) holder_updates: HolderUpdates,
    /// The holders that earlier runs recorded.
    pub(crate) holder_index: Option<Arc<dyn HolderIndex>>,
    /// The notices that wait for others.
    pub(crate) notices: NoticeHolder,
    /// Where this node's own notices go.
    pub(crate) notice_routes: NoticeRoutes,
    /// Room for the objects of others.
    pub(crate) foreign: Arc<ForeignRoom>,
    /// Where this node listens, peer id included.
    pub(crate) listening: Mutex<Vec<Multiaddr>>,
    /// Where it is reached from outside, as far as that is known, relays included.
    pub(crate) external: Mutex<Vec<Multiaddr>>,
    /// Is told of the requests of peers that belong to a trace.
    pub(crate) tracer: Tracer,
    /// The address records that this node announces.
    pub(crate) announced: Mutex<Option<Announcement>>,
    pub(crate) started: Instant,
}

impl Context {
    pub(crate) fn new(
        config: &P2pConfig,
        deps: &P2pDeps,
        peers: Arc<Peers>,
        providers: Arc<ProviderRecords>,
    ) -> Self {
        let traffic = Arc::new(Traffic::default());
        let request_timeout = Duration::from_secs(config.network.request_timeout_secs);
        Self {
            local: config.identity.id(),
            own_address: config.own_address,
            network: config.network.clone(),
            initial_peers: config.initial_peers.len(),
            objects: deps.objects.clone(),
            peers,
            streams: StreamPool::of_objects(traffic.clone(), request_timeout),
            notice_streams: StreamPool::of_notices(traffic.clone(), request_timeout),
            traffic,
            runner: RunnerHandle::default(),
            paths: Paths::default(),
            provide: ProvideQueue::default(),
            providers,
            holder_updates: HolderUpdates::default(),
            holder_index: deps.holder_index.clone(),
            notices: NoticeHolder::new(config.own_address, deps.notice_sink.clone(), deps.notices.clone()),
            notice_routes: NoticeRoutes::default(),
            foreign: Arc::new(ForeignRoom::new(
                config.network.max_foreign_bytes,
                deps.quota.clone(),
                deps.standing.clone(),
            )),
            listening: Mutex::default(),
            external: Mutex::default(),
            tracer: deps.tracer.clone(),
            announced: Mutex::default(),
            started: Instant::now(),
        }
    }

    /// Time for one step of an exchange.
    pub(crate) fn request_timeout(&self) -> Duration {
        Duration::from_secs(self.network.request_timeout_secs)
    }

    pub(crate) fn announced(&self) -> Option<Announcement> {
        self.announced
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The other instances of this node, as its address record names them: they have the same
    /// store, so that what they hold is no further copy.
    pub(crate) fn siblings(&self) -> HashSet<PeerId> {
        let announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        let named = announced.iter().flat_map(|own| own.newest().peers());
        let peers = named.filter_map(|peer| peer.parse().ok());
        peers.filter(|peer| *peer != self.local).collect()
    }

    pub(crate) fn set_external(&self, addresses: Vec<Multiaddr>) {
        *self.external.lock().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    pub(crate) fn external(&self) -> Vec<Multiaddr> {
        self.external
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn listening(&self) -> Vec<Multiaddr> {
        self.listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
