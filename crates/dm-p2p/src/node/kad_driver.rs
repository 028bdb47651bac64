//! What the event loop does with the DHT: queries, records and provider records.

use std::{collections::HashSet, sync::Arc};

use dm_core::{address_record::AddressRecord, hash::Locator};
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
    queries::{PendingQueries, PendingQuery, provider_key},
};
use crate::{
    dht::{BoundedStore, ReceivedRecord, check_provider, check_received},
    peers::{Merit, RateDecision},
};

/// Received records that may wait to be checked; more are dropped.
const RECORDS: usize = 256;

/// Answers the commands of the DHT and handles its events.
pub(super) struct KadDriver {
    context: Arc<Context>,
    queries: PendingQueries,
    /// To the task that checks records.
    received: mpsc::Sender<ReceivedRecord>,
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
        }
    }

    /// Ends the queries that nobody waits for any more.
    pub(super) fn on_tick(&mut self, swarm: &mut Swarm<Behaviour>) {
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
            } => self.send_own_record(swarm, peer),
            _ => {}
        }
    }

    /// Gives a new peer of the routing table this node's address record, so
    /// that it is found before the next announcement to everybody.
    fn send_own_record(&self, swarm: &mut Swarm<Behaviour>, peer: PeerId) {
        let Some(own) = self.context.own_record() else {
            return;
        };
        let key = AddressRecord::dht_key(own.address);
        let record = kad::Record {
            publisher: Some(self.context.local),
            ..kad::Record::new(kad::RecordKey::new(&key), own.bytes().to_vec())
        };
        kad(swarm).put_record_to(record, std::iter::once(peer), kad::Quorum::One);
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
            addresses = self.context.peers.addresses(&provider);
        }
        addresses
    }

    /// Peers closest to a locator, by what this node knows already. Those that
    /// have proven nothing crowd no others out.
    fn near(
        &self,
        swarm: &mut Swarm<Behaviour>,
        locator: &Locator,
        known: bool,
        limit: usize,
    ) -> Vec<PeerId> {
        let target = kad::KBucketKey::new(locator.as_bytes().to_vec());
        let mut peers: HashSet<PeerId> = swarm.connected_peers().copied().collect();
        if known {
            peers.extend(
                kad(swarm)
                    .get_closest_local_peers(&target)
                    .take(limit)
                    .map(|key| *key.preimage()),
            );
        }
        peers.retain(|peer| !self.context.peers.is_banned(peer));
        let distance = |peer: &PeerId| kad::KBucketKey::from(*peer).distance(&target);
        let is_unproven = |peer: &PeerId| self.context.peers.merit(peer) == Merit::Unproven;
        let mut peers: Vec<PeerId> = peers.into_iter().collect();
        peers.sort_by_cached_key(|peer| (is_unproven(peer), distance(peer)));
        peers.truncate(limit);
        peers.sort_by_cached_key(distance);
        peers
    }
}

fn kad(swarm: &mut Swarm<Behaviour>) -> &mut kad::Behaviour<BoundedStore> {
    &mut swarm.behaviour_mut().kad
}
