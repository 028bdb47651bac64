//! Notices and acknowledgements: recipients are told of what was shared with them, and owners
//! of what this node has read, until they know it. This node learns the same from others.

mod awaited_receipts;
mod collect;
mod granted_meanwhile;
mod outbox;
mod replicas;
mod send;
mod sink;

use std::{ops::Range, sync::Arc, time::Duration};

use alloy_primitives::Address;
use dm_core::{
    bus::EventBus,
    envelope::SignedEnvelope,
    inbox::Arrival,
    letter::Letter,
    notice::Notice,
    ports::{
        ContactBook, EventJournal, KeyValueStore, NoticeNetwork, ObjectStore, SentCatalog, ShareCatalog,
        Signer,
    },
    signed::Signed,
};
use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;

use self::outbox::Outbox;
pub use self::{
    replicas::{ReplicaNoticePorts, ReplicaNotices},
    sink::Letterbox,
};
use crate::{Deliveries, LateNews, ServiceError, inbox::Arrivals};

/// Until the next look at whether a peer is connected, where none is: nobody takes a letter, so none
/// is prepared.
const ALONE: Duration = Duration::from_millis(500);

/// Tells a recipient of what an envelope says now. It counts in this time (milliseconds since the
/// Unix epoch), or until the data ends.
fn notice_of(
    signer: &dyn Signer,
    envelope: &SignedEnvelope,
    recipient: Address,
    time: Range<u64>,
) -> Result<Letter, ServiceError> {
    let notice = Notice {
        sender: signer.address(),
        recipient,
        object: envelope.id,
        sequence: envelope.sequence,
        made_at: time.start,
        ends_at: envelope.expires_at.map_or(time.end, |at| at.min(time.end)),
    };
    Ok(Signed::sign(notice, signer)?.into())
}

/// What a notice says has come.
fn arrival_of(notice: &Notice) -> Arrival {
    Arrival {
        object: notice.object,
        sequence: notice.sequence,
    }
}

/// What notices and acknowledgements stand on.
#[derive(Clone)]
pub struct NoticePorts {
    /// Brings them to their addressees.
    pub network: Arc<dyn NoticeNetwork>,
    /// What was shared, and what was acknowledged.
    pub journal: Arc<dyn EventJournal>,
    /// Where the envelopes are.
    pub objects: Arc<dyn ObjectStore>,
    /// A namespace of its own: what is still to be told.
    pub outbox: Arc<dyn KeyValueStore>,
    /// Knows which receipts are in their envelopes.
    pub shares: Arc<dyn ShareCatalog>,
    /// Knows with whom data was shared, and learns who was told.
    pub sent: Arc<dyn SentCatalog>,
    /// The node account.
    pub signer: Arc<dyn Signer>,
    /// Whose notices are asked for first.
    pub contacts: Arc<dyn ContactBook>,
    /// Takes what has come.
    pub arrivals: Arrivals,
    /// What this node has acknowledged, and what it is told of its own objects.
    pub deliveries: Deliveries,
    /// Tells of peers that come and go.
    pub bus: EventBus,
    /// Knows to whom grants were made late, and which receipts are in their envelopes: who makes and
    /// adds them has the same.
    pub late_news: LateNews,
}

/// Tells recipients and owners, and learns what has come; cheap to clone.
#[derive(Clone)]
pub struct Notices {
    ports: NoticePorts,
    own: Address,
    /// Rings when something new is to be told.
    bell: Arc<Notify>,
}

impl Notices {
    /// Nothing happens before [`Notices::run`].
    pub fn new(ports: NoticePorts) -> Self {
        Self {
            own: ports.signer.address(),
            bell: Arc::default(),
            ports,
        }
    }

    /// Works until it is told to stop. What is still to be told stays in the store: each run
    /// begins with what is there, since another instance may have led before.
    ///
    /// # Errors
    /// Faults of the stores.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), ServiceError> {
        let work = async {
            let outbox = Mutex::new(Outbox::open(self.ports.outbox.clone()).await?);
            tokio::try_join!(
                self.take_all_news(&outbox),
                self.send_all(&outbox),
                self.collect_all(&outbox),
            )?;
            Ok(())
        };
        shutdown.run_until_cancelled(work).await.unwrap_or(Ok(()))
    }
}
