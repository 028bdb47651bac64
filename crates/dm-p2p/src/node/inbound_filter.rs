use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use futures::{
    FutureExt,
    future::{AbortHandle, Abortable, BoxFuture},
};
use libp2p::{
    Multiaddr, Transport,
    core::transport::{DialOpts, ListenerId, TransportError, TransportEvent},
};

use super::{
    handshakes::{HandshakeLimits, Handshakes},
    origin::Origin,
};

/// A transport that gives incoming connections up before their handshakes are
/// done, where there are too many or they come too fast: see [`Handshakes`].
pub(super) struct InboundFilter<T> {
    inner: T,
    handshakes: Handshakes,
}

impl<T> InboundFilter<T> {
    pub(super) fn new(inner: T, limits: HandshakeLimits) -> Self {
        Self {
            inner,
            handshakes: Handshakes::new(limits),
        }
    }
}

impl<T> InboundFilter<T>
where
    T: Transport<Error = io::Error>,
    T::ListenerUpgrade: Send + 'static,
{
    /// The handshake, for as long as it has a place.
    fn bounded(
        &self,
        origin: Origin,
        upgrade: T::ListenerUpgrade,
    ) -> BoxFuture<'static, io::Result<T::Output>> {
        let (abort, registration) = AbortHandle::new_pair();
        let place = self.handshakes.begin(origin, abort, Instant::now());
        async move {
            let _place = place.map_err(io::Error::other)?;
            let upgrade = Abortable::new(upgrade, registration);
            upgrade
                .await
                .unwrap_or_else(|_| Err(io::Error::other("given up for another handshake")))
        }
        .boxed()
    }
}

impl<T> Transport for InboundFilter<T>
where
    T: Transport<Error = io::Error> + Unpin,
    T::ListenerUpgrade: Send + 'static,
    T::Output: 'static,
{
    type Output = T::Output;
    type Error = io::Error;
    type ListenerUpgrade = BoxFuture<'static, io::Result<T::Output>>;
    type Dial = T::Dial;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(&mut self, address: Multiaddr, opts: DialOpts) -> Result<T::Dial, TransportError<io::Error>> {
        self.inner.dial(address, opts)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        let event = ready!(Pin::new(&mut self.inner).poll(cx));
        let origin = match &event {
            TransportEvent::Incoming {
                local_addr,
                send_back_addr,
                ..
            } => Origin::of_incoming(local_addr, send_back_addr),
            // The others have no upgrade.
            _ => Origin::default(),
        };
        Poll::Ready(event.map_upgrade(|upgrade| self.bounded(origin, upgrade)))
    }
}
