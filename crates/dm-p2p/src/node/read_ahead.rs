use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::{AsyncRead, AsyncWrite};

/// Bytes that are read ahead.
const AHEAD: usize = 64 * 1024;

/// Reads more from the operating system than is asked for while much comes: the encryption
/// asks for 8 KiB at a time, so that 1 GiB costs 131,072 calls.
///
/// A connection on which little comes has no buffer.
pub(super) struct ReadAhead<T> {
    inner: T,
    /// Empty where nothing is read ahead.
    buffer: Box<[u8]>,
    /// What of the buffer was read and not taken yet.
    taken: usize,
    filled: usize,
    /// The last read brought all that was asked for.
    was_filled: bool,
}

impl<T> ReadAhead<T> {
    pub(super) fn new(inner: T) -> Self {
        Self {
            inner,
            buffer: Box::default(),
            taken: 0,
            filled: 0,
            was_filled: false,
        }
    }

    /// Hands out what was read ahead.
    fn take(&mut self, target: &mut [u8]) -> usize {
        let ahead = &self.buffer[self.taken..self.filled];
        let count = ahead.len().min(target.len());
        target[..count].copy_from_slice(&ahead[..count]);
        self.taken += count;
        count
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for ReadAhead<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.taken < this.filled {
            return Poll::Ready(Ok(this.take(target)));
        }
        if !this.was_filled || target.len() >= AHEAD {
            this.buffer = Box::default();
            let count = ready!(Pin::new(&mut this.inner).poll_read(cx, target))?;
            this.was_filled = count == target.len();
            return Poll::Ready(Ok(count));
        }
        if this.buffer.is_empty() {
            this.buffer = vec![0; AHEAD].into();
        }
        (this.taken, this.filled) = (0, 0);
        this.filled = ready!(Pin::new(&mut this.inner).poll_read(cx, &mut this.buffer))?;
        this.was_filled = this.filled >= target.len();
        Poll::Ready(Ok(this.take(target)))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for ReadAhead<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures::{AsyncReadExt, FutureExt};
    use proptest::prelude::*;

    use super::*;

    /// Brings these pieces, at most one with each read.
    struct Pieces {
        pieces: Vec<Vec<u8>>,
        reads: usize,
    }

    impl AsyncRead for Pieces {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            target: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            self.reads += 1;
            let Some(piece) = self.pieces.first_mut() else {
                return Poll::Ready(Ok(0));
            };
            let count = piece.len().min(target.len());
            target[..count].copy_from_slice(&piece[..count]);
            piece.drain(..count);
            if piece.is_empty() {
                self.pieces.remove(0);
            }
            Poll::Ready(Ok(count))
        }
    }

    /// All bytes, asked for in parts of this length, and how often was read for them.
    fn read(pieces: Vec<Vec<u8>>, part: usize) -> (Vec<u8>, usize, bool) {
        let mut reader = ReadAhead::new(Pieces { pieces, reads: 0 });
        let (mut bytes, mut target) = (Vec::new(), vec![0; part]);
        loop {
            let count = reader.read(&mut target).now_or_never().unwrap().unwrap();
            if count == 0 {
                return (bytes, reader.inner.reads, reader.buffer.is_empty());
            }
            bytes.extend_from_slice(&target[..count]);
        }
    }

    #[test]
    fn much_that_comes_is_read_in_few_calls() {
        let (bytes, reads, _) = read(vec![vec![7; 1 << 20]], 8192);
        assert_eq!(bytes.len(), 1 << 20);
        assert!(reads <= 18, "{reads} reads");
    }

    #[test]
    fn little_that_comes_needs_no_buffer() {
        let (bytes, reads, has_no_buffer) = read(vec![vec![7; 100]; 50], 8192);
        assert_eq!((bytes.len(), reads), (5000, 51));
        assert!(has_no_buffer);
    }

    proptest! {
        #[test]
        fn bytes_come_in_their_order(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..20),
            repeated in 1..400_usize,
            part in 1..100_000_usize,
        ) {
            let pieces: Vec<Vec<u8>> = pieces.into_iter().map(|piece| piece.repeat(repeated)).collect();
            let (bytes, _, _) = read(pieces.clone(), part);
            prop_assert!(bytes == pieces.concat());
        }
    }
}
