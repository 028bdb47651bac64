//! The smallest network, chain, backups and log control that a server can show.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use dm_core::{
    Address, U256,
    address_record::{Announcement, SignedAddressRecord},
    envelope::{Chunk, ObjectId},
    hash::Locator,
    instance::{Instance, InstanceId},
    peer::{NetworkStats, PeerRecord, PeerStanding, PeerStatus},
    ports::{
        AddressDirectory, BackupError, BackupStream, Backups, Chain, ChainControl, ChainError, ChainHead,
        ChainSwitchError, ConsolePages, FetchError, Found, InvalidLogFilter, LogControl, NetworkError,
        NetworkStatus, ObjectExchange, PageFile, PushReport,
    },
    secret::SecretString,
    token::{NATIVE_TOKEN, TokenInfo, TokenKind},
    trace::Trace,
};
use futures::stream::{self, BoxStream, StreamExt};

/// Backups of two pieces.
pub struct ShortBackups;

#[async_trait]
impl Backups for ShortBackups {
    async fn begin(&self) -> Result<BackupStream, BackupError> {
        let pieces = [Ok(Bytes::from_static(b"one ")), Ok(Bytes::from_static(b"two"))];
        Ok(stream::iter(pieces).boxed())
    }
}

/// A network with two known peers and no connection.
pub struct QuietNetwork;

fn peer(id: &str, healthy: bool) -> PeerStatus {
    PeerStatus {
        record: PeerRecord {
            peer_id: id.to_owned(),
            addresses: vec!["/ip4/127.0.0.1/tcp/9000".to_owned()],
            first_seen: 1,
            last_seen: 2,
            latency_ms: Some(3),
            successes: 4,
            failures: 5,
        },
        connected: healthy,
        healthy,
        standing: PeerStanding {
            score: if healthy { 0 } else { 6 },
            last_offence: (!healthy).then(|| "a flood of requests".to_owned()),
            banned_until: (!healthy).then_some(7),
        },
    }
}

#[async_trait]
impl AddressDirectory for QuietNetwork {
    async fn announce(&self, _: Announcement) -> Result<(), NetworkError> {
        Ok(())
    }

    async fn find_address(&self, _: Address) -> Result<Option<SignedAddressRecord>, NetworkError> {
        Ok(None)
    }
}

#[async_trait]
impl ObjectExchange for QuietNetwork {
    async fn push(&self, _: &ObjectId, _: usize) -> Result<PushReport, NetworkError> {
        Ok(PushReport::default())
    }

    async fn find(&self, _: &Locator, _: &[Address], _: &Trace) -> Result<Vec<Found>, NetworkError> {
        Ok(Vec::new())
    }

    async fn find_at_known(&self, _: &Locator, _: &[Address], _: &Trace) -> Result<Vec<Found>, NetworkError> {
        Ok(Vec::new())
    }

    fn fetch(&self, _: &Found, _: u64, _: &Trace) -> BoxStream<'static, Result<Chunk, FetchError>> {
        stream::empty().boxed()
    }
}

impl NetworkStatus for QuietNetwork {
    fn peers(&self) -> Vec<PeerStatus> {
        vec![peer("well", true), peer("ill", false)]
    }

    fn stats(&self) -> NetworkStats {
        NetworkStats {
            total_peers: 2,
            healthy_peers: 1,
            active_peers: 1,
            ..NetworkStats::default()
        }
    }

    fn local_peer_id(&self) -> String {
        "local".to_owned()
    }

    fn listen_addresses(&self) -> Vec<String> {
        Vec::new()
    }

    fn is_running(&self) -> bool {
        true
    }
}

/// A chain where everybody has the same; it can be switched away, and made to
/// leave a question without an answer.
#[derive(Default)]
pub struct FixedChain {
    pub away: AtomicBool,
    pub silent: AtomicBool,
}

impl FixedChain {
    async fn answer<T>(&self, value: T) -> Result<T, ChainError> {
        if self.silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        match self.away.load(Ordering::SeqCst) {
            false => Ok(value),
            true => Err(ChainError::Unavailable("no route".to_owned())),
        }
    }
}

#[async_trait]
impl Chain for FixedChain {
    async fn chain_id(&self) -> Result<u64, ChainError> {
        self.answer(31_337).await
    }

    async fn head(&self) -> Result<ChainHead, ChainError> {
        let head = ChainHead {
            number: 1,
            timestamp: 1,
        };
        self.answer(head).await
    }

    fn native_token(&self) -> TokenInfo {
        TokenInfo {
            address: NATIVE_TOKEN,
            kind: TokenKind::Native,
            symbol: "ETH".to_owned(),
            name: "Ether".to_owned(),
            decimals: 18,
        }
    }

    async fn native_balance(&self, _: Address) -> Result<U256, ChainError> {
        self.answer(U256::from(10u128.pow(22))).await
    }
}

/// Keeps a filter and knows one that is wrong.
pub struct HeldLogFilter(Mutex<String>);

impl Default for HeldLogFilter {
    fn default() -> Self {
        Self(Mutex::new("info".to_owned()))
    }
}

impl LogControl for HeldLogFilter {
    fn filter(&self) -> String {
        self.0.lock().unwrap().clone()
    }

    fn set_filter(&self, filter: &str) -> Result<(), InvalidLogFilter> {
        if filter == "=" {
            return Err(InvalidLogFilter("no target".to_owned()));
        }
        filter.clone_into(&mut self.0.lock().unwrap());
        Ok(())
    }
}

/// Stays where it is, and says why by the URL it was given.
pub struct FixedEndpoint;

#[async_trait]
impl ChainControl for FixedEndpoint {
    async fn switch(
        &self,
        urls: &[String],
        private_key: Option<&SecretString>,
    ) -> Result<Address, ChainSwitchError> {
        let url = urls.first().map_or("", String::as_str);
        match (url, private_key.map(SecretString::expose)) {
            (_, Some("11")) => Err(ChainSwitchError::Key("must be 64 hexadecimal digits".to_owned())),
            (_, Some("22")) => Err(ChainSwitchError::HandOver(ChainError::Unavailable(
                "it does not answer".to_owned(),
            ))),
            ("", Some(_)) => Ok(Address::repeat_byte(2)),
            ("http://other", _) => Err(ChainError::WrongChain {
                expected: 1,
                found: 2,
            }
            .into()),
            (url, _) if url.starts_with("http://") => Ok(Address::repeat_byte(1)),
            _ => Err(ChainSwitchError::Url("is no URL".to_owned())),
        }
    }
}

/// The only instance of the node.
pub fn own_instance() -> Instance {
    Instance {
        id: InstanceId::random(),
        name: "test-node".to_owned(),
        version: "1.2.3".to_owned(),
        peer_id: Some("own peer".to_owned()),
        addresses: Vec::new(),
    }
}

/// A console of one file.
pub struct OnePage;

impl ConsolePages for OnePage {
    fn file(&self, path: &str) -> Option<PageFile> {
        (path == "/").then_some(PageFile {
            media_type: "text/html; charset=utf-8",
            policy: "default-src 'none'",
            etag: "\"1\"",
            bytes: b"<!doctype html>",
        })
    }
}
