use std::{future::Future, io, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use serde::{Serialize, de::DeserializeOwned};

use super::counted::Counted;
use crate::traffic::Traffic;

/// Bytes of the longest message, what follows it excepted.
pub(crate) const MAX_MESSAGE: usize = 1024;

/// Why an exchange broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    /// The peer closed the stream between two messages.
    #[error("the peer closed the stream")]
    Closed,
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(io::Error),
    /// The peer was too slow.
    #[error("the peer did not answer in time")]
    TimedOut,
    /// In all the time that the peer had, not a byte moved.
    #[error("the peer stalled")]
    Stalled,
    /// The peer sent what the protocol does not allow.
    #[error("the peer broke the protocol: {0}")]
    Malformed(&'static str),
    /// Nobody waits for the rest any more.
    #[error("the rest is not needed")]
    Unneeded,
    /// The peer does not have what it was asked for.
    #[error("the peer does not have it")]
    Missing,
}

impl WireError {
    /// Whether the peer is to blame rather than the connection.
    pub(crate) fn is_misbehaviour(&self) -> bool {
        matches!(self, Self::Malformed(_))
    }

    /// Whether a stream that was used before may simply have grown too old.
    pub(crate) fn is_disconnect(&self) -> bool {
        matches!(self, Self::Closed | Self::Io(_))
    }
}

/// A stream with the protocol's framing: every length is checked before
/// memory is set aside for it, and every step has its time.
pub(crate) struct Wire<S> {
    stream: Counted<S>,
    traffic: Arc<Traffic>,
    step_timeout: Duration,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Frames a stream; each message and each piece of bytes may take `step_timeout`.
    pub(crate) fn new(stream: S, traffic: Arc<Traffic>, step_timeout: Duration) -> Self {
        Self {
            stream: Counted::new(stream),
            traffic,
            step_timeout,
        }
    }

    /// Sends a message.
    pub(crate) async fn send<T: Serialize>(&mut self, message: &T) -> Result<(), WireError> {
        self.send_with(message, &[]).await
    }

    /// Sends a message and the bytes that follow it.
    pub(crate) async fn send_with<T: Serialize>(
        &mut self,
        message: &T,
        bytes: &[u8],
    ) -> Result<(), WireError> {
        let mut frame = postcard::to_extend(message, vec![0, 0])
            .map_err(|_| WireError::Malformed("a message cannot be encoded"))?;
        let len = frame.len() - 2;
        if len > MAX_MESSAGE {
            return Err(WireError::Malformed("a message is too long"));
        }
        frame[..2].copy_from_slice(&(len as u16).to_be_bytes());
        let before = self.stream.moved;
        let (stream, traffic) = (&mut self.stream, &self.traffic);
        let sent = within(self.step_timeout, async {
            stream.write_all(&frame).await?;
            stream.write_all(bytes).await?;
            stream.flush().await?;
            traffic.add_sent(frame.len() + bytes.len());
            Ok(())
        })
        .await;
        self.slow_or_stalled(before, sent)
    }

    /// Sends bytes that an earlier message announced.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        let before = self.stream.moved;
        let (stream, traffic) = (&mut self.stream, &self.traffic);
        let sent = within(self.step_timeout, async {
            stream.write_all(bytes).await?;
            stream.flush().await?;
            traffic.add_sent(bytes.len());
            Ok(())
        })
        .await;
        self.slow_or_stalled(before, sent)
    }

    /// Receives the next message.
    pub(crate) async fn receive<T: DeserializeOwned>(&mut self) -> Result<T, WireError> {
        self.receive_within(self.step_timeout).await
    }

    /// Receives the next message; it may take this long.
    pub(crate) async fn receive_within<T: DeserializeOwned>(
        &mut self,
        step_timeout: Duration,
    ) -> Result<T, WireError> {
        let before = self.stream.moved;
        let (stream, traffic) = (&mut self.stream, &self.traffic);
        let body = within(step_timeout, async {
            let len = read_length(stream).await?;
            let mut body = vec![0; len];
            stream.read_exact(&mut body).await?;
            traffic.add_received(2 + len);
            Ok(body)
        })
        .await;
        let body = self.slow_or_stalled(before, body)?;
        match postcard::take_from_bytes(&body) {
            Ok((message, [])) => Ok(message),
            _ => Err(WireError::Malformed("a message cannot be read")),
        }
    }

    /// Receives `len` bytes, which must not be more than `limit`.
    pub(crate) async fn receive_bytes(&mut self, len: usize, limit: usize) -> Result<Bytes, WireError> {
        if len > limit {
            return Err(WireError::Malformed("a length is above its limit"));
        }
        let before = self.stream.moved;
        let (stream, traffic) = (&mut self.stream, &self.traffic);
        let received = within(self.step_timeout, async {
            let mut bytes = BytesMut::zeroed(len);
            stream.read_exact(&mut bytes).await?;
            traffic.add_received(len);
            Ok(bytes.freeze())
        })
        .await;
        self.slow_or_stalled(before, received)
    }

    /// A step that ran out of time was too slow, or nothing happened at all
    /// since as many bytes had moved as `before`.
    fn slow_or_stalled<T>(&self, before: u64, step: Result<T, WireError>) -> Result<T, WireError> {
        match step {
            Err(WireError::TimedOut) if self.stream.moved == before => Err(WireError::Stalled),
            step => step,
        }
    }
}

/// Reads the length of a message; the end of the stream before its first byte
/// is [`WireError::Closed`].
async fn read_length<S: AsyncRead + Unpin>(stream: &mut S) -> Result<usize, WireError> {
    let mut length = [0; 2];
    if stream.read(&mut length[..1]).await? == 0 {
        return Err(WireError::Closed);
    }
    stream.read_exact(&mut length[1..]).await?;
    match usize::from(u16::from_be_bytes(length)) {
        len if len <= MAX_MESSAGE => Ok(len),
        _ => Err(WireError::Malformed("a message is too long")),
    }
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

async fn within<T>(
    step_timeout: Duration,
    step: impl Future<Output = Result<T, WireError>>,
) -> Result<T, WireError> {
    tokio::time::timeout(step_timeout, step)
        .await
        .unwrap_or(Err(WireError::TimedOut))
}

#[cfg(test)]
mod tests {
    use dm_core::hash::DataHash;
    use futures::io::Cursor;
    use proptest::prelude::*;

    use super::{
        super::{OfferAnswer, Refusal, Reply, Request},
        *,
    };

    fn wire(bytes: Vec<u8>) -> Wire<Cursor<Vec<u8>>> {
        Wire::new(Cursor::new(bytes), Arc::default(), Duration::from_secs(5))
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(future)
    }

    fn framed<T: Serialize>(message: &T) -> Vec<u8> {
        run(async {
            let mut sender = wire(Vec::new());
            sender.send(message).await.unwrap();
            sender.stream.inner.into_inner()
        })
    }

    fn messages() -> impl Strategy<Value = Request> {
        let id =
            (any::<[u8; 32]>(), any::<[u8; 20]>()).prop_map(|(data, owner)| dm_core::envelope::ObjectId {
                locator: DataHash::of(&data).locator(),
                owner: owner.into(),
            });
        (id, any::<u64>(), any::<u32>(), 0..4u8).prop_map(|(id, first, count, kind)| match kind {
            0 => Request::Envelopes { locator: id.locator },
            1 => Request::Names { id, first, count },
            2 => Request::Chunks { id, first, count },
            _ => Request::Offer { envelope_len: count },
        })
    }

    #[test]
    fn an_announced_length_above_the_limit_is_refused_before_it_is_read() {
        run(async {
            let error = wire(Vec::new())
                .receive_bytes(usize::MAX, 1024)
                .await
                .unwrap_err();
            assert!(error.is_misbehaviour());
            let error = wire(vec![0xff, 0xff]).receive::<Request>().await.unwrap_err();
            assert!(error.is_misbehaviour());
        });
    }

    #[test]
    fn the_end_between_messages_is_told_from_the_end_within_one() {
        run(async {
            assert!(matches!(
                wire(Vec::new()).receive::<Request>().await,
                Err(WireError::Closed)
            ));
            assert!(matches!(
                wire(vec![0]).receive::<Request>().await,
                Err(WireError::Io(_))
            ));
        });
    }

    #[test]
    fn replies_are_read_as_they_were_written() {
        for reply in [
            Reply::Envelopes {
                lengths: vec![1, 2, 3],
            },
            Reply::Names { count: 7 },
            Reply::Chunk { len: 262_217 },
            Reply::Missing,
            Reply::OfferAnswer(OfferAnswer::Held),
            Reply::OfferAnswer(OfferAnswer::Refused(Refusal::Stale)),
        ] {
            assert_eq!(run(wire(framed(&reply)).receive::<Reply>()).unwrap(), reply);
        }
    }

    /// The figure in `docs/network.md`.
    #[test]
    fn a_challenge_and_its_answer_are_at_most_two_thirds_of_a_kibibyte() {
        let id = dm_core::envelope::ObjectId {
            locator: DataHash::of(b"data").locator(),
            owner: [7; 20].into(),
        };
        let known = |count| vec![vec![8; 38]; count];
        let asked = |count| {
            framed(&Request::Prove {
                id,
                chunk_list: [1; 32],
                nonce: [2; 32],
                known: known(count),
            })
        };
        let answered = framed(&Reply::Proof {
            digest: [3; 32],
            sequence: u64::MAX,
        });
        let most = asked(super::super::MAX_KNOWN).len() + answered.len();
        assert!(most <= 1024 * 2 / 3, "{most}");
        // Of three holders one is told of.
        assert!(asked(1).len() + answered.len() <= 220);
    }

    proptest! {
        #[test]
        fn requests_are_read_as_they_were_written(request in messages()) {
            prop_assert_eq!(run(wire(framed(&request)).receive::<Request>()).unwrap(), request);
        }

        #[test]
        fn a_truncated_request_is_an_error(request in messages(), cut in 1usize..200) {
            let mut bytes = framed(&request);
            let kept = bytes.len().saturating_sub(cut);
            bytes.truncate(kept);
            prop_assert!(run(wire(bytes).receive::<Request>()).is_err());
        }

        #[test]
        fn bytes_after_a_message_within_its_frame_are_an_error(request in messages(), extra in 1u8..20) {
            let mut bytes = framed(&request);
            bytes[1] += extra;
            bytes.extend(vec![0; usize::from(extra)]);
            prop_assert!(run(wire(bytes).receive::<Request>()).is_err());
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..1200)) {
            let _ = run(wire(bytes.clone()).receive::<Request>());
            let _ = run(wire(bytes).receive::<Reply>());
        }
    }

    #[test]
    fn a_peer_that_is_slow_is_told_from_one_that_stalls() {
        run(async {
            // Half a message, and then nothing.
            let (mut ours, theirs) = tokio::io::duplex(64);
            tokio::io::AsyncWriteExt::write_all(&mut ours, &[0, 9, 1])
                .await
                .unwrap();
            let theirs = tokio_util::compat::TokioAsyncReadCompatExt::compat(theirs);
            let mut slow = Wire::new(theirs, Arc::default(), Duration::from_millis(1));
            assert!(matches!(slow.receive::<Reply>().await, Err(WireError::TimedOut)));
            assert!(matches!(slow.receive::<Reply>().await, Err(WireError::Stalled)));
        });
    }

    #[test]
    fn a_peer_that_stays_silent_stalls() {
        struct Silent;
        impl AsyncRead for Silent {
            fn poll_read(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
                _: &mut [u8],
            ) -> std::task::Poll<io::Result<usize>> {
                std::task::Poll::Pending
            }
        }
        impl AsyncWrite for Silent {
            fn poll_write(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
                _: &[u8],
            ) -> std::task::Poll<io::Result<usize>> {
                std::task::Poll::Pending
            }
            fn poll_flush(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<io::Result<()>> {
                std::task::Poll::Pending
            }
            fn poll_close(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<io::Result<()>> {
                std::task::Poll::Pending
            }
        }
        run(async {
            let mut silent = Wire::new(Silent, Arc::default(), Duration::from_millis(1));
            assert!(matches!(silent.receive::<Reply>().await, Err(WireError::Stalled)));
            assert!(matches!(
                silent.send(&Reply::Missing).await,
                Err(WireError::Stalled)
            ));
        });
    }
}
