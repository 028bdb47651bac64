//! The part of the event loop that concerns the DHT.

use std::collections::HashSet;

use dm_core::{address_record::AddressRecord, hash::Locator};
use libp2p::{
    Multiaddr, PeerId,
    kad::{self, store::RecordStore},
};
use tokio::sync::mpsc::error::TrySendError;

use super::{
    command::Command,
    queries::{Waiting, provider_key},
    runner::Runner,
};
use crate::{
    addresses::usable,
    dht::{ReceivedRecord, check_provider},
    peers::Turn,
};

impl Runner {
    pub(super) fn on_command(&mut self, command: Command) {
        match command {
            Command::Near {
                locator,
                known,
                limit,
                reply,
            } => {
                // The asker may have given up.
                let _ = reply.send(self.near(&locator, known, limit));
            }
            Command::FindClosest { locator, reply } => {
                let id = self.kad().get_closest_peers(locator.as_bytes().to_vec());
                self.queries.insert(id, Waiting::Closest(reply));
            }
            Command::FindProviders { locator, found } => {
                let id = self.kad().get_providers(provider_key(&locator));
                let seen = HashSet::from([self.context.local]);
                self.queries.insert(id, Waiting::Providers { seen, found });
            }
            Command::FindRecord { key, found } => {
                let id = self.kad().get_record(kad::RecordKey::new(&key));
                self.queries.insert(id, Waiting::Record(found));
            }
            Command::PutRecord { key, value, reply } => {
                let record = kad::Record::new(kad::RecordKey::new(&key), value);
                match self.kad().put_record(record, kad::Quorum::One) {
                    Ok(id) => self.queries.insert(id, Waiting::Put(reply)),
                    Err(error) => tracing::warn!(%error, "the address record was not published"),
                }
            }
            Command::KeepRecord { record } => {
                if let Err(error) = self.kad().store_mut().put(record) {
                    tracing::debug!(%error, "a record was not kept");
                }
            }
            Command::Provide { locator } => {
                if let Err(error) = self.kad().start_providing(provider_key(&locator)) {
                    tracing::debug!(%error, "an object was not announced");
                }
            }
            Command::Meet { from, hints } => self.meet(from, hints),
        }
    }

    pub(super) fn on_kad_event(&mut self, event: kad::Event) {
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
            } => self.check_later(source, record),
            kad::Event::InboundRequest {
                request: kad::InboundRequest::AddProvider { record: Some(record) },
            } => self.keep_provider(record),
            kad::Event::RoutingUpdated {
                peer,
                is_new_peer: true,
                ..
            } => self.greet(peer),
            _ => {}
        }
    }

    /// Looks for peers that are missing in the routing table, and meets those
    /// again that are in it. Alone, a node has nobody to ask: then this also
    /// takes back the attempt, with a warning, that Kademlia plans by itself
    /// after every new listening address.
    pub(super) fn refresh_routing_table(&mut self) {
        if let Err(error) = self.kad().bootstrap() {
            tracing::debug!(%error, "the routing table was not refreshed");
        }
    }

    /// Gives a new peer of the routing table this node's address record, so
    /// that it is found before the next announcement to everybody.
    fn greet(&mut self, peer: PeerId) {
        let Some(own) = self.context.own_record() else {
            return;
        };
        let key = AddressRecord::dht_key(own.address);
        let record = kad::Record {
            publisher: Some(self.context.local),
            ..kad::Record::new(kad::RecordKey::new(&key), own.bytes().to_vec())
        };
        self.kad()
            .put_record_to(record, std::iter::once(peer), kad::Quorum::One);
    }

    /// Whether a record of the peer is looked at: not where it sends too many.
    fn may_send(&self, peer: PeerId) -> bool {
        let peers = &self.context.peers;
        !peers.is_banned(&peer) && peers.count_request(peer) == Turn::Now
    }

    /// Signatures are checked elsewhere; a sender that is faster than that
    /// loses records, which it will send again.
    fn check_later(&mut self, source: PeerId, record: kad::Record) {
        if !self.may_send(source) {
            return;
        }
        let held = self
            .kad()
            .store_mut()
            .get(&record.key)
            .map(|held| held.value.clone());
        let received = ReceivedRecord { source, record, held };
        if let Err(TrySendError::Full(_)) = self.records.try_send(received) {
            tracing::debug!(peer = %source, "a record was dropped: too many at once");
        }
    }

    fn keep_provider(&mut self, mut record: kad::ProviderRecord) {
        let provider = record.provider;
        if !self.may_send(provider) {
            return;
        }
        record.addresses = self.addresses_of_provider(provider, &record.addresses);
        match check_provider(record) {
            Some(record) => {
                if let Err(error) = self.kad().store_mut().add_provider(record) {
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
    fn addresses_of_provider(&mut self, provider: PeerId, told: &[Multiaddr]) -> Vec<Multiaddr> {
        let seen_at = self.seen_at.get(&provider);
        let mut addresses = seen_at.map(|seen_at| usable(told, seen_at)).unwrap_or_default();
        self.remove_foreign(provider, &provider, &mut addresses);
        if addresses.is_empty() {
            addresses = self.context.peers.addresses(&provider);
        }
        addresses
    }

    /// Peers closest to a locator, by what this node knows already.
    fn near(&mut self, locator: &Locator, known: bool, limit: usize) -> Vec<PeerId> {
        let target = kad::KBucketKey::new(locator.as_bytes().to_vec());
        let mut peers: HashSet<PeerId> = self.swarm.connected_peers().copied().collect();
        if known {
            peers.extend(
                self.kad()
                    .get_closest_local_peers(&target)
                    .take(limit)
                    .map(|key| *key.preimage()),
            );
        }
        peers.retain(|peer| !self.context.peers.is_banned(peer));
        let mut peers: Vec<PeerId> = peers.into_iter().collect();
        peers.sort_by_cached_key(|peer| kad::KBucketKey::from(*peer).distance(&target));
        peers.truncate(limit);
        peers
    }

    fn kad(&mut self) -> &mut kad::Behaviour<crate::dht::BoundedStore> {
        &mut self.swarm.behaviour_mut().kad
    }
}
