//! Answers the object protocol: gives out what is stored here, and takes what
//! others want kept.

mod admission;
mod announce;
mod envelope_page;
mod owners;
mod prove;
mod receive;
mod room;
mod serve;

use std::sync::Arc;

use libp2p::{PeerId, Stream};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use self::room::ForeignRoom;
use self::{admission::Admission, owners::Arrivals};
use crate::{
    node::Context,
    wire::{Version, Wire},
};

/// Objects that are received at the same time.
const MAX_RECEIVING: usize = 64;
/// Chunks that are in memory to be sent, all streams together: 32 MiB.
const MAX_SENDING: usize = 128;

/// Accepts streams within limits; clones are the same server.
#[derive(Clone)]
pub(crate) struct Server {
    shared: Arc<Shared>,
}

/// What all streams of the server share.
struct Shared {
    context: Arc<Context>,
    admission: Admission,
    sending: Semaphore,
    receiving: Semaphore,
    arrivals: Arrivals,
    ending: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self {
            shared: Arc::new(Shared {
                context,
                admission: Admission::default(),
                sending: Semaphore::new(MAX_SENDING),
                receiving: Semaphore::new(MAX_RECEIVING),
                arrivals: Arrivals::default(),
                ending: CancellationToken::new(),
                tasks: TaskTracker::new(),
            }),
        }
    }

    /// Serves a stream in the background, or drops it where the peer has too
    /// many already or is banned.
    pub(crate) fn accept(&self, peer: PeerId, version: Version, stream: Stream) {
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
        let wire = Wire::new(
            stream,
            version,
            context.traffic.clone(),
            context.request_timeout(),
        );
        self.shared.tasks.spawn(async move {
            serve::serve(&shared, peer, &admitted, wire).await;
        });
    }

    /// Ends all streams after the request that each is working on.
    pub(crate) async fn finish(self) {
        self.shared.ending.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}
