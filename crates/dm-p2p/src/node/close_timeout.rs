use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use libp2p::core::{
    StreamMuxer,
    muxing::{StreamMuxerBox, StreamMuxerEvent, SubstreamBox},
};
use tokio::time::Sleep;

/// A connection that is gone a while after it was closed, also where the peer
/// reads nothing any more: a peer that was hung up on must not go on taking
/// memory.
pub(super) struct CloseTimeout {
    inner: StreamMuxerBox,
    timeout: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl CloseTimeout {
    /// `timeout`: for the peer to hear that its connection is closed.
    pub(super) fn new(inner: StreamMuxerBox, timeout: Duration) -> Self {
        Self {
            inner,
            timeout,
            deadline: None,
        }
    }
}

impl StreamMuxer for CloseTimeout {
    type Substream = SubstreamBox;
    type Error = io::Error;

    fn poll_inbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<SubstreamBox>> {
        Pin::new(&mut self.inner).poll_inbound(cx)
    }

    fn poll_outbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<SubstreamBox>> {
        Pin::new(&mut self.inner).poll_outbound(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(closed) = Pin::new(&mut self.inner).poll_close(cx) {
            return Poll::Ready(closed);
        }
        let timeout = self.timeout;
        let deadline = self
            .deadline
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        deadline
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        Pin::new(&mut self.inner).poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures::future::poll_fn;

    use super::*;

    /// The connection of a peer that never reads.
    struct Deaf;

    impl StreamMuxer for Deaf {
        type Substream = SubstreamBox;
        type Error = io::Error;

        fn poll_inbound(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<SubstreamBox>> {
            Poll::Pending
        }

        fn poll_outbound(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<SubstreamBox>> {
            Poll::Pending
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn a_peer_that_reads_nothing_is_hung_up_on_all_the_same() {
        let mut connection = CloseTimeout::new(StreamMuxerBox::new(Deaf), Duration::from_millis(1));
        let closed = poll_fn(|cx| Pin::new(&mut connection).poll_close(cx)).await;
        assert_eq!(closed.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
