//! Answers the object protocol: gives out what is stored here, and takes what
//! others want kept.

mod admission;
mod announce;
mod envelope_page;
mod memory;
mod notices;
mod owners;
mod prove;
mod receive;
mod room;
mod serve;
mod take;
mod transfers;

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use libp2p::{PeerId, Stream};
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use self::room::ForeignRoom;
use self::{
    admission::Admission,
    memory::{Memory, Reserved},
    owners::Arrivals,
    transfers::Transfers,
};
use crate::{
    node::Context,
    wire::{Version, Wire},
};

/// Bytes in memory that are to be sent, all streams together.
const MAX_OUTGOING: u64 = 32 * 1024 * 1024;
/// Bytes in memory of what is being received, all streams together.
const MAX_INCOMING: u64 = 64 * 1024 * 1024;
/// Between two looks for unfinished objects and letters that have been kept for too long.
const CLEANING: Duration = Duration::from_secs(60);

/// What is spoken on a stream that is served.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Served {
    /// The object protocol in this version.
    Objects(Version),
    /// The protocol of notices in this version.
    Notices(Version),
}

/// Accepts streams within limits; clones are the same server.
#[derive(Clone)]
pub(crate) struct Server {
    shared: Arc<Shared>,
}

/// What all streams of the server share.
struct Shared {
    context: Arc<Context>,
    admission: Admission,
    outgoing: Memory,
    incoming: Memory,
    arrivals: Arrivals,
    transfers: Transfers,
    ending: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        let shared = Arc::new(Shared {
            context,
            admission: Admission::default(),
            outgoing: Memory::new(MAX_OUTGOING),
            incoming: Memory::new(MAX_INCOMING),
            arrivals: Arrivals::default(),
            transfers: Transfers::default(),
            ending: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        let cleaning = clean_up(Arc::downgrade(&shared), shared.ending.clone());
        shared.tasks.spawn(cleaning);
        Self { shared }
    }

    /// Serves a stream in the background, or drops it where the peer has too
    /// many already or is banned.
    pub(crate) fn accept(&self, peer: PeerId, protocol: Served, stream: Stream) {
        let shared = self.shared.clone();
        let context = &shared.context;
        if context.peers.is_banned(&peer) {
            return;
        }
        let Some(admitted) = shared.admission.admit(peer, context.peers.merit(&peer)) else {
            tracing::debug!(%peer, "a stream was refused: too many");
            context.peers.count_request(peer);
            return;
        };
        let (traffic, timeout) = (context.traffic.clone(), context.request_timeout());
        self.shared.tasks.spawn(async move {
            match protocol {
                Served::Objects(version) => {
                    let wire = Wire::new(stream, version, traffic, timeout);
                    serve::serve(&shared, peer, &admitted, wire).await;
                }
                Served::Notices(version) => {
                    let wire = Wire::new(stream, version, traffic, timeout);
                    notices::serve(&shared, peer, &admitted, wire).await;
                }
            }
        });
    }

    /// Ends all streams after the request that each is working on.
    pub(crate) async fn finish(self) {
        self.shared.ending.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}

impl Shared {
    /// Memory for an answer to the peer; `None` where none gets free in time.
    async fn memory_to_send(&self, peer: PeerId, bytes: usize) -> Option<Reserved> {
        let (merit, patience) = (self.context.peers.merit(&peer), self.patience());
        self.outgoing.reserve(peer, merit, bytes as u64, patience).await
    }

    /// Memory for what a peer is about to send; `None` where none gets free in time.
    async fn memory_to_receive(&self, peer: PeerId, bytes: u64) -> Option<Reserved> {
        let (merit, patience) = (self.context.peers.merit(&peer), self.patience());
        self.incoming.reserve(peer, merit, bytes, patience).await
    }

    /// How long a request waits for memory: less than its sender waits for an answer.
    fn patience(&self) -> Duration {
        self.context.request_timeout() / 2
    }
}

/// Deletes unfinished objects and letters when they have been kept for long enough.
async fn clean_up(shared: Weak<Shared>, ending: CancellationToken) {
    loop {
        tokio::select! {
            () = ending.cancelled() => return,
            () = tokio::time::sleep(CLEANING) => {}
        }
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let outdated = shared.transfers.take_outdated(Instant::now());
        take::discard(&*shared.context.objects, outdated).await;
        if let Err(error) = shared.context.notices.clean_up().await {
            tracing::warn!(%error, "letters that have ended were not deleted");
        }
    }
}
