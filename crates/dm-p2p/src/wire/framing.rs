use std::{future::Future, io, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use dm_core::span::{self, TraceContext};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{Message, Version, counted::Counted};
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
    /// The peer speaks a later version than this node, or this node one that is too
    /// late for the peer.
    #[error("a message is of a version that is not known")]
    Unsupported,
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
    version: Version,
    traffic: Arc<Traffic>,
    step_timeout: Duration,
    /// That of the last message.
    trace: Option<TraceContext>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Frames a stream of this version; each message and each piece of bytes may take
    /// `step_timeout`.
    pub(crate) fn new(stream: S, version: Version, traffic: Arc<Traffic>, step_timeout: Duration) -> Self {
        Self {
            stream: Counted::new(stream),
            version,
            traffic,
            step_timeout,
            trace: None,
        }
    }

    /// What is spoken on the stream.
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// To which trace the last message belongs that has come, if it says so.
    pub(crate) fn trace(&self) -> Option<TraceContext> {
        self.trace
    }

    /// Sends a message.
    pub(crate) async fn send<T: Message>(&mut self, message: &T) -> Result<(), WireError> {
        self.send_with(message, &[]).await
    }

    /// Sends a message and the bytes that follow it.
    pub(crate) async fn send_with<T: Message>(&mut self, message: &T, bytes: &[u8]) -> Result<(), WireError> {
        let mut frame = postcard::to_extend(message, vec![0, 0])
            .map_err(|_| WireError::Malformed("a message cannot be encoded"))?;
        if may_be_traced::<T>(self.version)
            && let Some(trace) = span::recorded()
        {
            frame.extend_from_slice(&trace.to_bytes());
        }
        let len = frame.len() - 2;
        if len > MAX_MESSAGE {
            return Err(WireError::Malformed("a message is too long"));
        }
        if !is_known::<T>(&frame[2..], self.version) {
            return Err(WireError::Unsupported);
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
    pub(crate) async fn receive<T: Message>(&mut self) -> Result<T, WireError> {
        self.receive_within(self.step_timeout).await
    }

    /// Receives the next message; it may take this long.
    pub(crate) async fn receive_within<T: Message>(
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
        if !is_known::<T>(&body, self.version) {
            return Err(WireError::Unsupported);
        }
        self.trace = None;
        match postcard::take_from_bytes::<T>(&body) {
            Ok((message, trace))
                if trace.len() == TraceContext::BYTES && may_be_traced::<T>(self.version) =>
            {
                self.trace = TraceContext::from_bytes(trace);
                Ok(message)
            }
            Ok((message, [])) if message.is_unsupported() => Err(WireError::Unsupported),
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

/// Whether a message in this version may say to which trace it belongs.
fn may_be_traced<T: Message>(version: Version) -> bool {
    T::TRACED_SINCE.is_some_and(|since| version >= since)
}

/// Whether the message is of a kind that the version has; one that is too short to say
/// its kind is left to the decoder.
fn is_known<T: Message>(body: &[u8], version: Version) -> bool {
    match postcard::take_from_bytes::<u32>(body) {
        Ok((kind, _)) => T::is_known(kind, version),
        Err(_) => true,
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
mod tests;
