use std::collections::{HashMap, HashSet};

use dm_core::hash::Locator;
use libp2p::{PeerId, kad};
use tokio::sync::{mpsc, oneshot};

/// A peer that says it has objects under a locator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProviderFound {
    pub(crate) peer: PeerId,
    /// Requests that the query had sent when it learned of the peer.
    pub(crate) requests: u32,
}

/// What a lookup of a locator took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LookupTrace {
    /// Providers in the order in which they were found, in text form.
    pub providers: Vec<String>,
    /// Requests that were sent before the first provider was known.
    pub requests_to_first: Option<u32>,
}

/// Who waits for which query of the DHT.
#[derive(Default)]
pub(crate) struct PendingQueries {
    waiting: HashMap<kad::QueryId, PendingQuery>,
}

/// Who waits for the answers of a query.
pub(crate) enum PendingQuery {
    Closest(oneshot::Sender<Vec<PeerId>>),
    Providers {
        seen: HashSet<PeerId>,
        found: mpsc::Sender<ProviderFound>,
    },
    Record(mpsc::Sender<(Option<PeerId>, Vec<u8>)>),
    Put(oneshot::Sender<()>),
}

impl PendingQuery {
    /// Nobody listens any more.
    fn is_abandoned(&self) -> bool {
        match self {
            Self::Closest(reply) => reply.is_closed(),
            Self::Providers { found, .. } => found.is_closed(),
            Self::Record(found) => found.is_closed(),
            // A publication is finished whether or not its caller still waits.
            Self::Put(_) => false,
        }
    }
}

impl PendingQueries {
    pub(crate) fn insert(&mut self, id: kad::QueryId, waiting: PendingQuery) {
        self.waiting.insert(id, waiting);
    }

    /// Hands on what a query learned. An answer that its reader has no room
    /// for is dropped: it has more than it needs.
    pub(crate) fn progressed(
        &mut self,
        id: kad::QueryId,
        result: kad::QueryResult,
        stats: kad::QueryStats,
        last: bool,
    ) {
        match (self.waiting.get_mut(&id), result) {
            (
                Some(PendingQuery::Providers { seen, found }),
                kad::QueryResult::GetProviders(Ok(kad::GetProvidersOk::FoundProviders { providers, .. })),
            ) => {
                for peer in providers {
                    if seen.insert(peer) {
                        let requests = stats.num_requests();
                        let _ = found.try_send(ProviderFound { peer, requests });
                    }
                }
            }
            (
                Some(PendingQuery::Record(found)),
                kad::QueryResult::GetRecord(Ok(kad::GetRecordOk::FoundRecord(record))),
            ) => {
                let _ = found.try_send((record.peer, record.record.value));
            }
            (Some(PendingQuery::Closest(_)), kad::QueryResult::GetClosestPeers(result)) => {
                let peers = match result {
                    Ok(found) => found.peers,
                    Err(kad::GetClosestPeersError::Timeout { peers, .. }) => peers,
                };
                if let Some(PendingQuery::Closest(reply)) = self.waiting.remove(&id) {
                    let _ = reply.send(peers.into_iter().map(|peer| peer.peer_id).collect());
                }
            }
            _ => {}
        }
        if last && let Some(PendingQuery::Put(reply)) = self.waiting.remove(&id) {
            // The caller may have stopped waiting. Readers of other queries
            // learn from their sender being dropped that there is no more.
            let _ = reply.send(());
        }
    }

    /// Queries that nobody waits for any more; they are forgotten here.
    pub(crate) fn take_abandoned(&mut self) -> Vec<kad::QueryId> {
        let abandoned: Vec<kad::QueryId> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| waiting.is_abandoned())
            .map(|(id, _)| *id)
            .collect();
        for id in &abandoned {
            self.waiting.remove(id);
        }
        abandoned
    }
}

/// The key under which the DHT has the providers of a locator.
pub(crate) fn provider_key(locator: &Locator) -> kad::RecordKey {
    kad::RecordKey::new(locator.as_bytes())
}
