//! Many streams over one connection, by the [yamux] protocol.
//!
//! `libp2p::yamux` cuts what is written into frames of 16 KiB and has no setting for it. Each
//! frame is a packet of the encryption below, a write to the socket and a task to wake, so that
//! an object of 1 GiB costs 65,536 of each. Here a frame fills a packet.
//!
//! [yamux]: https://github.com/hashicorp/yamux/blob/master/spec.md

use std::{
    collections::VecDeque,
    future::{Ready, ready},
    io,
    iter::{Once, once},
    pin::Pin,
    task::{Context, Poll, Waker},
};

use futures::{AsyncRead, AsyncWrite};
use libp2p::core::{
    muxing::{StreamMuxer, StreamMuxerEvent},
    upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo},
};
use yamux::{Config, Connection, ConnectionError, Mode};

/// Bytes of a frame that are not its header's: together they fill a packet of `libp2p::noise`,
/// which takes 64,511.
const FRAME: usize = 64_511 - 12;
/// Streams of the other end that may wait to be taken. Yamux lets it open no more before the
/// first is taken.
const MAX_WAITING: usize = 256;

/// Makes connections carry streams.
#[derive(Clone)]
pub(super) struct Multiplexer(Config);

impl Multiplexer {
    /// Connections with so many streams, all protocols and both directions together.
    pub(super) fn new(max_streams: usize) -> Self {
        let mut config = Config::default();
        config.set_max_num_streams(max_streams);
        config.set_split_send_size(FRAME);
        Self(config)
    }
}

impl UpgradeInfo for Multiplexer {
    type Info = &'static str;
    type InfoIter = Once<Self::Info>;

    fn protocol_info(&self) -> Self::InfoIter {
        once("/yamux/1.0.0")
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> InboundConnectionUpgrade<C> for Multiplexer {
    type Output = Multiplexed<C>;
    type Error = io::Error;
    type Future = Ready<Result<Self::Output, Self::Error>>;

    fn upgrade_inbound(self, connection: C, _: Self::Info) -> Self::Future {
        ready(Ok(Multiplexed::new(Connection::new(
            connection,
            self.0,
            Mode::Server,
        ))))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> OutboundConnectionUpgrade<C> for Multiplexer {
    type Output = Multiplexed<C>;
    type Error = io::Error;
    type Future = Ready<Result<Self::Output, Self::Error>>;

    fn upgrade_outbound(self, connection: C, _: Self::Info) -> Self::Future {
        ready(Ok(Multiplexed::new(Connection::new(
            connection,
            self.0,
            Mode::Client,
        ))))
    }
}

/// A connection that carries streams.
pub(super) struct Multiplexed<C> {
    connection: Connection<C>,
    /// Streams of the other end. Yamux moves bytes only while it is asked for the next one, so
    /// they also come when nobody takes them.
    waiting: VecDeque<yamux::Stream>,
    /// Who is to be told of one.
    taker: Option<Waker>,
}

impl<C: AsyncRead + AsyncWrite + Unpin> Multiplexed<C> {
    fn new(connection: Connection<C>) -> Self {
        Self {
            connection,
            waiting: VecDeque::new(),
            taker: None,
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<yamux::Stream, ConnectionError>> {
        let next = self.connection.poll_next_inbound(cx);
        next.map(|next| next.unwrap_or(Err(ConnectionError::Closed)))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> StreamMuxer for Multiplexed<C> {
    type Substream = yamux::Stream;
    type Error = ConnectionError;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        if let Some(stream) = self.waiting.pop_front() {
            return Poll::Ready(Ok(stream));
        }
        if let Poll::Ready(next) = self.poll_next(cx) {
            return Poll::Ready(next);
        }
        self.taker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        self.connection.poll_new_outbound(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.connection.poll_close(cx)
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        while let Poll::Ready(next) = self.poll_next(cx) {
            let stream = next?;
            // One too many is reset by being dropped.
            if self.waiting.len() < MAX_WAITING {
                self.waiting.push_back(stream);
                if let Some(taker) = self.taker.take() {
                    taker.wake();
                }
            }
        }
        Poll::Pending
    }
}
