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

/// Where connected peers are, shared by the event loop, which knows, and the
/// transport.
#[derive(Default)]
pub(crate) struct Whereabouts {
    seen_at: Mutex<HashMap<PeerId, Multiaddr>>,
}

impl Whereabouts {
    pub(super) fn connected(&self, peer: PeerId, seen_at: Multiaddr) {
        self.lock().insert(peer, seen_at);
    }

    pub(super) fn disconnected(&self, peer: &PeerId) {
        self.lock().remove(peer);
    }

    /// Whether this address may be dialled. A connected peer can have this node
    /// dial it at addresses of its choice, to test whether they are reached or
    /// to get past a router: it must not point into networks that it is not in.
    /// Of a peer that came through a relay, the relay's place counts.
    fn allow(&self, address: &Multiaddr) -> bool {
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

/// A transport that refuses to dial where [`Whereabouts`] forbids it.
pub(super) struct Guarded<T> {
    inner: T,
    whereabouts: Arc<Whereabouts>,
}

impl<T> Guarded<T> {
    pub(super) fn new(inner: T, whereabouts: Arc<Whereabouts>) -> Self {
        Self { inner, whereabouts }
    }
}

impl<T: Transport + Unpin> Transport for Guarded<T> {
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
        if self.whereabouts.allow(&address) {
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
        let (whereabouts, peer) = (Whereabouts::default(), PeerId::random());
        whereabouts.connected(peer, seen_at.parse().unwrap());
        let address: Multiaddr = address.parse().unwrap();
        whereabouts.allow(&address.with_p2p(peer).unwrap())
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
        let whereabouts = Whereabouts::default();
        let place: Multiaddr = "/ip4/10.0.0.9/tcp/1".parse().unwrap();
        let peer = PeerId::random();
        let address = place.clone().with_p2p(peer).unwrap();
        assert!(whereabouts.allow(&place) && whereabouts.allow(&address));
        whereabouts.connected(peer, "/ip4/9.9.9.9/tcp/1".parse().unwrap());
        assert!(!whereabouts.allow(&address));
        whereabouts.disconnected(&peer);
        assert!(whereabouts.allow(&address));
    }
}
