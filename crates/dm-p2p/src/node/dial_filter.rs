use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId, Transport,
    core::transport::{DialOpts, ListenerId, TransportError, TransportEvent},
    multiaddr::Protocol,
};

use crate::addresses::{is_relayed, reaches_as_far};

/// Where connected peers are: the event loop fills it in, and the transport asks it.
#[derive(Default)]
pub(crate) struct ObservedAddresses {
    seen_at: Mutex<HashMap<PeerId, Multiaddr>>,
}

impl ObservedAddresses {
    pub(super) fn insert(&self, peer: PeerId, seen_at: Multiaddr) {
        self.lock().insert(peer, seen_at);
    }

    /// Where a connected peer is.
    pub(super) fn get(&self, peer: &PeerId) -> Option<Multiaddr> {
        self.lock().get(peer).cloned()
    }

    /// Whether the peer was there.
    pub(super) fn remove(&self, peer: &PeerId) -> bool {
        self.lock().remove(peer).is_some()
    }

    /// Whether this address may be dialled. A connected peer can have this node
    /// dial it at addresses of its choice, to test whether they are reached or
    /// to get past a router: it must not point into networks that it is not in.
    /// Of a peer that came through a relay, the relay's place counts.
    fn may_dial(&self, address: &Multiaddr) -> bool {
        let Some(Protocol::P2p(peer)) = address.iter().last() else {
            return true;
        };
        self.lock()
            .get(&peer)
            .is_none_or(|seen_at| !is_relayed(address) && reaches_as_far(address, seen_at))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PeerId, Multiaddr>> {
        self.seen_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A transport that refuses to dial where [`ObservedAddresses`] forbids it.
pub(super) struct DialFilter<T> {
    inner: T,
    observed: Arc<ObservedAddresses>,
}

impl<T> DialFilter<T> {
    pub(super) fn new(inner: T, observed: Arc<ObservedAddresses>) -> Self {
        Self { inner, observed }
    }
}

impl<T: Transport + Unpin> Transport for DialFilter<T> {
    type Output = T::Output;
    type Error = T::Error;
    type ListenerUpgrade = T::ListenerUpgrade;
    type Dial = T::Dial;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<T::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(&mut self, address: Multiaddr, opts: DialOpts) -> Result<T::Dial, TransportError<T::Error>> {
        if self.observed.may_dial(&address) {
            self.inner.dial(address, opts)
        } else {
            tracing::debug!(%address, "not dialled: the peer is not in that network");
            Err(TransportError::MultiaddrNotSupported(address))
        }
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<T::ListenerUpgrade, T::Error>> {
        Pin::new(&mut self.inner).poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(seen_at: &str, address: &str) -> bool {
        let (observed, peer) = (ObservedAddresses::default(), PeerId::random());
        observed.insert(peer, seen_at.parse().unwrap());
        let address: Multiaddr = address.parse().unwrap();
        observed.may_dial(&address.with_p2p(peer).unwrap())
    }

    #[test]
    fn a_far_peer_cannot_have_this_node_dial_into_its_own_network() {
        let far = "/ip4/9.9.9.9/tcp/5";
        assert!(allows(far, "/ip4/8.8.8.8/tcp/1"));
        assert!(allows("/ip4/10.0.0.2/tcp/5", "/ip4/10.0.0.9/tcp/1"));
        assert!(!allows("/ip4/10.0.0.2/tcp/5", "/ip4/127.0.0.1/tcp/1"));
        for address in [
            "/ip4/127.0.0.1/tcp/22",
            "/ip4/10.0.0.9/udp/1/quic-v1",
            "/ip6/fd00::1/tcp/1",
        ] {
            assert!(!allows(far, address), "{address}");
        }
    }

    #[test]
    fn a_relay_is_no_way_around_and_counts_as_the_place_of_who_is_behind_it() {
        let relay = PeerId::random();
        let circuit = |place: &str| format!("{place}/p2p/{relay}/p2p-circuit");
        assert!(!allows("/ip4/9.9.9.9/tcp/5", &circuit("/ip4/10.0.0.9/tcp/1")));
        assert!(!allows("/ip4/9.9.9.9/tcp/5", &circuit("/dns/a.example/tcp/1")));
        assert!(!allows(&circuit("/ip4/9.9.9.9/tcp/5"), "/ip4/10.0.0.9/tcp/1"));
        assert!(allows(&circuit("/ip4/10.0.0.1/tcp/5"), "/ip4/10.0.0.9/tcp/1"));
    }

    #[test]
    fn who_is_not_connected_is_dialled_anywhere() {
        let observed = ObservedAddresses::default();
        let place: Multiaddr = "/ip4/10.0.0.9/tcp/1".parse().unwrap();
        let peer = PeerId::random();
        let address = place.clone().with_p2p(peer).unwrap();
        assert!(observed.may_dial(&place) && observed.may_dial(&address));
        observed.insert(peer, "/ip4/9.9.9.9/tcp/1".parse().unwrap());
        assert!(!observed.may_dial(&address));
        observed.remove(&peer);
        assert!(observed.may_dial(&address));
    }
}
