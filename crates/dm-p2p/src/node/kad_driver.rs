//! What the event loop does with the DHT: queries, records and provider records.

use std::{collections::HashSet, sync::Arc};

use dm_core::{
    address_record::{AddressRecord, Announcement},
    hash::Locator,
};
use libp2p::{
    Multiaddr, PeerId, Swarm,
    kad::{self, store::RecordStore},
};
use tokio::sync::mpsc::{self, error::TrySendError};

use super::{
    Context,
    behaviour::Behaviour,
    command::KadCommand,
    connections::Connections,
    nearest::{NearestPeers, distance},
    queries::{PendingQueries, PendingQuery, provider_key},
};
use crate::{
    dht::{BoundedStore, ReceivedRecord, check_provider, check_received},
    peers::{Merit, Peers, RateDecision},
};

/// Received records that may wait to be checked; more are dropped.
const RECORDS: usize = 256;

/// Answers the commands of the DHT and handles its events.
pub(super) struct KadDriver {
    context: Arc<Context>,
    queries: PendingQueries,
    /// To the task that checks records.
    received: mpsc::Sender<ReceivedRecord>,
    pub(super) connected: ConnectedPeers,
}

impl KadDriver {
    /// Starts the task that checks received records; it ends with the driver.
    pub(super) fn new(context: Arc<Context>) -> Self {
        let (received, records) = mpsc::channel(RECORDS);
        tokio::spawn(check_received(context.clone(), records));
        Self {
            context,
            queries: PendingQueries::default(),
            received,
            connected: ConnectedPeers::default(),
        }
    }

    /// Ends the queries that nobody waits for any more.
    pub(super) fn on_tick(&mut self, swarm: &mut Swarm<Behaviour>) {
        self.connected.sort_anew(&self.context.peers);
        for query in self.queries.take_abandoned() {
            if let Some(mut query) = kad(swarm).query_mut(&query) {
                query.finish();
            }
        }
    }

    pub(super) fn on_command(&mut self, swarm: &mut Swarm<Behaviour>, command: KadCommand) {
        match command {
            KadCommand::Near {
                locator,
                known,
                limit,
                reply,
            } => {
                // The asker may have given up.
                let _ = reply.send(self.near(swarm, &locator, known, limit));
            }
            KadCommand::FindClosest { locator, reply } => {
                let id = kad(swarm).get_closest_peers(locator.as_bytes().to_vec());
                self.queries.insert(id, PendingQuery::Closest(reply));
            }
            KadCommand::FindProviders { locator, found } => {
                let id = kad(swarm).get_providers(provider_key(&locator));
                let seen = HashSet::from([self.context.local]);
                self.queries.insert(id, PendingQuery::Providers { seen, found });
            }
            KadCommand::FindRecord { key, found } => {
                let id = kad(swarm).get_record(kad::RecordKey::new(&key));
                self.queries.insert(id, PendingQuery::Record(found));
            }
            KadCommand::PutRecord { key, value, reply } => {
                let record = kad::Record::new(kad::RecordKey::new(&key), value);
                match kad(swarm).put_record(record, kad::Quorum::One) {
                    Ok(id) => self.queries.insert(id, PendingQuery::Put(reply)),
                    Err(error) => tracing::warn!(%error, "the address record was not published"),
                }
            }
            KadCommand::KeepRecord { record, sender } => {
                if let Err(error) = kad(swarm).store_mut().keep(record, sender) {
                    tracing::debug!(%error, "a record was not kept");
                }
            }
            KadCommand::Provide { locator } => {
                if let Err(error) = kad(swarm).start_providing(provider_key(&locator)) {
                    tracing::debug!(%error, "an object was not announced");
                }
            }
        }
    }

    pub(super) fn on_event(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        connections: &mut Connections,
        event: kad::Event,
    ) {
        match event {
            kad::Event::OutboundQueryProgressed {
                id,
                result,
                stats,
                step,
            } => {
                self.queries.progressed(id, result, stats, step.last);
            }
            kad::Event::InboundRequest {
                request:
                    kad::InboundRequest::PutRecord {
                        source,
                        record: Some(record),
                        ..
                    },
            } => self.check_later(swarm, source, record),
            kad::Event::InboundRequest {
                request: kad::InboundRequest::AddProvider { record: Some(record) },
            } => self.keep_provider(swarm, connections, record),
            kad::Event::RoutingUpdated {
                peer,
                is_new_peer: true,
                ..
            } => self.send_own_records(swarm, peer),
            _ => {}
        }
    }

    /// Gives a new peer of the routing table this node's address records, so
    /// that they are found before the next announcement to everybody.
    fn send_own_records(&self, swarm: &mut Swarm<Behaviour>, peer: PeerId) {
        let own = self.context.announced();
        for own in own.iter().flat_map(Announcement::records) {
            let key = AddressRecord::dht_key(own.address);
            let record = kad::Record {
                publisher: Some(self.context.local),
                ..kad::Record::new(kad::RecordKey::new(&key), own.bytes().to_vec())
            };
            kad(swarm).put_record_to(record, std::iter::once(peer), kad::Quorum::One);
        }
    }

    /// Whether a record of the peer is looked at: not where it sends too many.
    fn may_send(&self, peer: PeerId) -> bool {
        let peers = &self.context.peers;
        !peers.is_banned(&peer) && peers.count_request(peer) == RateDecision::Now
    }

    /// Signatures are checked elsewhere; a sender that is faster than that
    /// loses records, which it will send again.
    fn check_later(&self, swarm: &mut Swarm<Behaviour>, source: PeerId, record: kad::Record) {
        if !self.may_send(source) {
            return;
        }
        let held = kad(swarm)
            .store_mut()
            .get(&record.key)
            .map(|held| held.value.clone());
        let received = ReceivedRecord { source, record, held };
        if let Err(TrySendError::Full(_)) = self.received.try_send(received) {
            tracing::debug!(peer = %source, "a record was dropped: too many at once");
        }
    }

    fn keep_provider(
        &self,
        swarm: &mut Swarm<Behaviour>,
        connections: &mut Connections,
        mut record: kad::ProviderRecord,
    ) {
        let provider = record.provider;
        if !self.may_send(provider) {
            return;
        }
        record.addresses = self.addresses_of_provider(connections, provider, &record.addresses);
        match check_provider(record) {
            Some(record) => {
                if let Err(error) = kad(swarm).store_mut().add_provider(record) {
                    tracing::debug!(%error, "a provider record was not kept");
                }
            }
            None => self
                .context
                .peers
                .misbehaved(provider, "a malformed provider record"),
        }
    }

    /// Of the addresses that a provider tells of, those that may be passed on.
    /// It tells only of such as are confirmed from outside: where there is
    /// none, those by which this node knows it. Without any the record would be
    /// answered only while the provider is in the routing table here, which in
    /// a large network it hardly ever is.
    fn addresses_of_provider(
        &self,
        connections: &mut Connections,
        provider: PeerId,
        told: &[Multiaddr],
    ) -> Vec<Multiaddr> {
        let mut addresses = connections
            .plausible_addresses(provider, &provider, told)
            .unwrap_or_default();
        if addresses.is_empty() {
            addresses = self.context.peers.book.addresses(&provider);
        }
        addresses
    }

    /// Peers closest to a locator, by what this node knows already. Those that
    /// have proven nothing crowd no others out. What this takes does not depend on
    /// the number of peers.
    fn near(
        &self,
        swarm: &mut Swarm<Behaviour>,
        locator: &Locator,
        known: bool,
        limit: usize,
    ) -> Vec<PeerId> {
        let target = kad::KBucketKey::new(locator.as_bytes().to_vec());
        let mut peers: HashSet<PeerId> = self.connected.near(locator, limit).into_iter().collect();
        if known {
            peers.extend(
                kad(swarm)
                    .get_closest_local_peers(&target)
                    .take(limit)
                    .map(|key| *key.preimage()),
            );
        }
        peers.retain(|peer| !self.context.peers.is_banned(peer));
        let is_unproven = |peer: &PeerId| self.context.peers.merit(peer) == Merit::Unproven;
        let mut peers: Vec<PeerId> = peers.into_iter().collect();
        peers.sort_by_cached_key(|peer| (is_unproven(peer), distance(peer, &target)));
        peers.truncate(limit);
        peers.sort_by_cached_key(|peer| distance(peer, &target));
        peers
    }
}

/// The connected peers, in two groups: those that have shown something are found however
/// many others there are.
#[derive(Default)]
pub(super) struct ConnectedPeers {
    proven: NearestPeers,
    others: NearestPeers,
}

impl ConnectedPeers {
    fn near(&self, locator: &Locator, limit: usize) -> Vec<PeerId> {
        let mut near = self.proven.closest(locator.as_bytes(), limit);
        near.extend(self.others.closest(locator.as_bytes(), limit));
        near
    }

    /// A first connection with the peer stands.
    pub(super) fn insert(&mut self, peers: &Peers, peer: PeerId) {
        if peers.merit(&peer) == Merit::Unproven {
            self.others.insert(peer);
        } else {
            self.proven.insert(peer);
        }
    }

    /// The last connection with the peer is gone.
    pub(super) fn remove(&mut self, peer: &PeerId) {
        self.proven.remove(peer);
        self.others.remove(peer);
    }

    /// Puts peers into the other group that have shown something, or do not count any more.
    fn sort_anew(&mut self, peers: &Peers) {
        let is_proven = |peer: &PeerId| peers.merit(peer) > Merit::Unproven;
        let risen: Vec<PeerId> = self.others.iter().copied().filter(is_proven).collect();
        let fallen: Vec<PeerId> = self
            .proven
            .iter()
            .copied()
            .filter(|peer| !is_proven(peer))
            .collect();
        for peer in risen.into_iter().chain(fallen) {
            self.remove(&peer);
            self.insert(peers, peer);
        }
    }
}

fn kad(swarm: &mut Swarm<Behaviour>) -> &mut kad::Behaviour<BoundedStore> {
    &mut swarm.behaviour_mut().kad
}
