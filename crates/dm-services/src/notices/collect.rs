//! Asks for the letters that wait for this node.

use std::{collections::HashSet, iter, time::Duration};

use alloy_primitives::Address;
use dm_core::{
    bus::NodeEvent,
    clock::now_ms,
    contact::Trust,
    letter::Letter,
    news::News,
    ports::{CatalogError, MAX_NAMED_SENDERS, NetworkError},
};
use futures::{TryStreamExt, stream};
use tokio::sync::{
    Mutex,
    broadcast::{Receiver, error::RecvError},
};

use super::{Notices, arrival_of, outbox::Outbox};
use crate::ServiceError;

/// Pauses after a start, and when the network is back: it is to be found, and the address
/// record announced.
const FIRST_PAUSES: [Duration; 4] = [
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(60),
];
/// Acknowledgements that are kept at the same time: they share a commit.
const AT_ONCE: usize = 64;
/// Between two questions later on.
const PAUSE: Duration = Duration::from_secs(600);

/// The peers that are connected, as the bus tells.
struct Company {
    events: Receiver<NodeEvent>,
    peers: HashSet<String>,
}

impl Company {
    /// Waits until a peer connects to a node that had none.
    async fn comes(&mut self) {
        loop {
            match self.events.recv().await.map(|event| event.news) {
                Ok(News::PeerConnected { peer_id }) => {
                    let was_alone = self.peers.is_empty();
                    self.peers.insert(peer_id);
                    if was_alone {
                        return;
                    }
                }
                Ok(News::PeerDisconnected { peer_id }) => {
                    self.peers.remove(&peer_id);
                }
                Ok(_) => {}
                // Who has gone meanwhile is not known: it may have been everybody.
                Err(RecvError::Lagged(_)) => self.peers.clear(),
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

impl Notices {
    /// Asks soon after a start, and whenever the network was gone and is back: what peers kept
    /// meanwhile is not waited for until the next time. What nobody took is sent again then.
    pub(super) async fn collect_all(&self, outbox: &Mutex<Outbox>) -> Result<(), ServiceError> {
        let mut company = Company {
            events: self.ports.bus.subscribe(),
            peers: HashSet::new(),
        };
        loop {
            for pause in FIRST_PAUSES.into_iter().chain(iter::repeat(PAUSE)) {
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = company.comes() => break,
                }
                self.collect().await?;
                if pause < PAUSE {
                    outbox.lock().await.hurry_unsent(now_ms()).await?;
                    self.bell.notify_one();
                }
            }
        }
    }

    /// Asks once; how many objects of others were spoken of.
    ///
    /// # Errors
    /// Faults of the stores.
    pub async fn collect(&self) -> Result<usize, ServiceError> {
        let named = self.welcome_senders().await?;
        let letters = match self.ports.network.collect(&named).await {
            Ok(letters) => letters,
            Err(NetworkError::Stopped) => return Ok(0),
            Err(error) => {
                tracing::debug!(%error, "no letters were collected");
                return Ok(0);
            }
        };
        let (mut arrivals, mut statements) = (Vec::new(), Vec::new());
        for letter in letters {
            match letter {
                Letter::Notice(notice) if notice.recipient == self.own => arrivals.push(arrival_of(&notice)),
                Letter::Notice(_) => {}
                Letter::Acknowledgement(statement) => statements.push(statement),
            }
        }
        stream::iter(statements.into_iter().map(Ok))
            .try_for_each_concurrent(AT_ONCE, |statement| async move {
                self.ports.deliveries.arrived(statement).await.map(drop)
            })
            .await?;
        self.ports.arrivals.have_come(&arrivals).await?;
        Ok(arrivals.len())
    }

    async fn welcome_senders(&self) -> Result<Vec<Address>, CatalogError> {
        let contacts = self.ports.contacts.contacts(None, MAX_NAMED_SENDERS).await?;
        let welcome = contacts
            .into_iter()
            .filter(|contact| contact.trust != Trust::Block);
        Ok(welcome.map(|contact| contact.address).collect())
    }
}
