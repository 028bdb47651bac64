//! Notices: recipients are told of what was shared with them, until they know it, and this
//! node learns of what others have shared with it.

mod collect;
mod outbox;
mod send;
mod sink;

use std::sync::Arc;

use alloy_primitives::Address;
use dm_core::ports::{
    ContactBook, EventJournal, KeyValueStore, NoticeNetwork, ObjectStore, SentCatalog, Signer, StoreError,
};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use self::outbox::Outbox;
pub use self::sink::NoticesForInbox;
use crate::{ServiceError, inbox::Arrivals};

/// What notices stand on.
#[derive(Clone)]
pub struct NoticePorts {
    /// Brings notices to their recipients.
    pub network: Arc<dyn NoticeNetwork>,
    /// What was shared.
    pub journal: Arc<dyn EventJournal>,
    /// Where the envelopes are.
    pub objects: Arc<dyn ObjectStore>,
    /// A namespace of its own: what is still to be told.
    pub outbox: Arc<dyn KeyValueStore>,
    /// Learns who was told.
    pub sent: Arc<dyn SentCatalog>,
    /// The node account.
    pub signer: Arc<dyn Signer>,
    /// Whose notices are asked for first.
    pub contacts: Arc<dyn ContactBook>,
    /// Takes what has come.
    pub arrivals: Arrivals,
}

/// Tells recipients, and learns what has come; cheap to clone.
#[derive(Clone)]
pub struct Notices {
    ports: NoticePorts,
    own: Address,
    outbox: Arc<Mutex<Outbox>>,
}

impl Notices {
    /// Nothing happens before [`Notices::run`].
    ///
    /// # Errors
    /// Faults of the store.
    pub async fn open(ports: NoticePorts) -> Result<Self, StoreError> {
        let outbox = Outbox::open(ports.outbox.clone()).await?;
        Ok(Self {
            own: ports.signer.address(),
            outbox: Arc::new(Mutex::new(outbox)),
            ports,
        })
    }

    /// Works until it is told to stop. What is still to be told stays in the store.
    ///
    /// # Errors
    /// Faults of the stores.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), ServiceError> {
        let work = async { tokio::try_join!(self.send_all(), self.collect_all()).map(|_| ()) };
        shutdown.run_until_cancelled(work).await.unwrap_or(Ok(()))
    }
}
