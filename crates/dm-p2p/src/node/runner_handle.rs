use std::sync::{PoisonError, RwLock};

use dm_core::{
    address_record::{AddressRecord, SignedAddressRecord},
    hash::Locator,
    ports::NetworkError,
};
use libp2p::{PeerId, kad};
use tokio::sync::{mpsc, oneshot};

use super::{
    command::{Command, KadCommand},
    queries::ProviderFound,
};
use crate::wire::Hint;

/// Answers of a query that may wait to be read.
const ANSWERS: usize = 64;

/// The way to the event loop, wherever it runs at the moment: after a failure
/// it is started anew.
#[derive(Default)]
pub(crate) struct RunnerHandle {
    channels: RwLock<Option<RunnerChannels>>,
}

/// What the event loop gives out while it runs.
#[derive(Clone)]
pub(crate) struct RunnerChannels {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) streams: libp2p_stream::Control,
}

impl RunnerHandle {
    pub(crate) fn connect(&self, channels: RunnerChannels) {
        *self.channels.write().unwrap_or_else(PoisonError::into_inner) = Some(channels);
    }

    pub(crate) fn disconnect(&self) {
        *self.channels.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.channels
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }

    /// Opens streams to peers.
    pub(crate) fn streams(&self) -> Result<libp2p_stream::Control, NetworkError> {
        Ok(self.channels()?.streams)
    }

    /// The connected peers closest to a locator, best first.
    pub(crate) async fn connected_near(
        &self,
        locator: &Locator,
        limit: usize,
    ) -> Result<Vec<PeerId>, NetworkError> {
        self.near(locator, false, limit).await
    }

    /// The known peers, connected or not, closest to a locator, best first.
    pub(crate) async fn known_near(
        &self,
        locator: &Locator,
        limit: usize,
    ) -> Result<Vec<PeerId>, NetworkError> {
        self.near(locator, true, limit).await
    }

    async fn near(&self, locator: &Locator, known: bool, limit: usize) -> Result<Vec<PeerId>, NetworkError> {
        let (reply, answer) = oneshot::channel();
        let locator = *locator;
        self.send_kad(KadCommand::Near {
            locator,
            known,
            limit,
            reply,
        })
        .await?;
        answer.await.map_err(|_| NetworkError::Stopped)
    }

    /// Whether any peer is connected.
    pub(crate) async fn has_peers(&self) -> bool {
        let anywhere = Locator::from_bytes([0; 32]);
        self.connected_near(&anywhere, 1)
            .await
            .is_ok_and(|peers| !peers.is_empty())
    }

    /// The peers closest to a locator in the whole network.
    pub(crate) async fn find_closest(&self, locator: &Locator) -> Result<Vec<PeerId>, NetworkError> {
        let (reply, answer) = oneshot::channel();
        self.send_kad(KadCommand::FindClosest {
            locator: *locator,
            reply,
        })
        .await?;
        answer.await.map_err(|_| NetworkError::Stopped)
    }

    /// Peers that say they have objects under a locator, as they are found.
    pub(crate) async fn find_providers(
        &self,
        locator: &Locator,
    ) -> Result<mpsc::Receiver<ProviderFound>, NetworkError> {
        let (found, answers) = mpsc::channel(ANSWERS);
        self.send_kad(KadCommand::FindProviders {
            locator: *locator,
            found,
        })
        .await?;
        Ok(answers)
    }

    /// Values that peers have for a key, unchecked, with the peer that sent each.
    pub(crate) async fn find_record(
        &self,
        key: [u8; 32],
    ) -> Result<mpsc::Receiver<(Option<PeerId>, Vec<u8>)>, NetworkError> {
        let (found, answers) = mpsc::channel(ANSWERS);
        self.send_kad(KadCommand::FindRecord { key, found }).await?;
        Ok(answers)
    }

    /// Publishes an address record; what it returns resolves when it is done.
    pub(crate) async fn put_record(
        &self,
        record: &SignedAddressRecord,
    ) -> Result<oneshot::Receiver<()>, NetworkError> {
        let (reply, done) = oneshot::channel();
        self.send_kad(KadCommand::PutRecord {
            key: AddressRecord::dht_key(record.address),
            value: record.bytes().to_vec(),
            reply,
        })
        .await?;
        Ok(done)
    }

    /// Keeps a checked record that `sender` sent for others; lost where the loop has ended.
    pub(crate) async fn keep_record(&self, record: kad::Record, sender: PeerId) {
        let _ = self.send_kad(KadCommand::KeepRecord { record, sender }).await;
    }

    /// Announces this node as provider; lost where the loop has ended, and
    /// repeated with everything that is stored.
    pub(crate) async fn provide(&self, locator: &Locator) {
        let _ = self.send_kad(KadCommand::Provide { locator: *locator }).await;
    }

    /// Has peers dialled that a peer has named; lost where the loop has ended.
    pub(crate) async fn dial_hints(&self, from: PeerId, hints: Vec<Hint>) {
        let _ = self.send(Command::DialHints { from, hints }).await;
    }

    async fn send_kad(&self, command: KadCommand) -> Result<(), NetworkError> {
        self.send(Command::Kad(command)).await
    }

    async fn send(&self, command: Command) -> Result<(), NetworkError> {
        let commands = self.channels()?.commands;
        commands.send(command).await.map_err(|_| NetworkError::Stopped)
    }

    fn channels(&self) -> Result<RunnerChannels, NetworkError> {
        let channels = self.channels.read().unwrap_or_else(PoisonError::into_inner);
        channels.clone().ok_or(NetworkError::Stopped)
    }
}
