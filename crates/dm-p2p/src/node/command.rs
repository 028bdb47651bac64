use dm_core::hash::Locator;
use libp2p::{PeerId, kad};
use tokio::sync::{mpsc, oneshot};

use super::queries::ProviderFound;
use crate::wire::Hint;

/// What the rest of the crate asks of the event loop.
pub(crate) enum Command {
    /// Something of the DHT.
    Kad(KadCommand),
    /// Dials some of the peers that a peer has named.
    DialHints { from: PeerId, hints: Vec<Hint> },
}

/// What is asked of the DHT.
pub(crate) enum KadCommand {
    /// Connected peers, or with `known` all peers of the routing table as
    /// well, closest to the locator first.
    Near {
        locator: Locator,
        known: bool,
        limit: usize,
        reply: oneshot::Sender<Vec<PeerId>>,
    },
    /// Walks the DHT to the peers closest to the locator.
    FindClosest {
        locator: Locator,
        reply: oneshot::Sender<Vec<PeerId>>,
    },
    /// Looks for providers; each is reported as it is found.
    FindProviders {
        locator: Locator,
        found: mpsc::Sender<ProviderFound>,
    },
    /// Looks for records; each is reported with the peer that sent it.
    FindRecord {
        key: [u8; 32],
        found: mpsc::Sender<(Option<PeerId>, Vec<u8>)>,
    },
    /// Publishes a record; the reply comes when the DHT has it, or not.
    PutRecord {
        key: [u8; 32],
        value: Vec<u8>,
        reply: oneshot::Sender<()>,
    },
    /// Keeps a record of another node that has been checked.
    KeepRecord { record: kad::Record, sender: PeerId },
    /// Announces this node as provider.
    Provide { locator: Locator },
}
