//! Takes plaintext that arrives in pieces, with bounded memory: chunks are hashed,
//! examined, sealed and stored while the next ones arrive.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use dm_core::{
    envelope::{CHUNK_SIZE, Chunk, ChunkListHasher, MAX_OBJECT_SIZE},
    hash::DataHasher,
    lease::in_same_epoch,
    plugin::Notes,
    ports::ObjectWriter,
    secret::ContentKey,
    span::in_same_trace,
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesOrdered};
use tokio::sync::oneshot;

use super::{Sealed, Sealing};
use crate::{ServiceError, plugin_manager::Examiner};

/// Chunks that are sealed at the same time or wait to be written.
const IN_FLIGHT: usize = 8;

/// Idle cores that receive and write while a chunk is sealed.
const KEPT_FREE: usize = 1;

/// Data on its way into the store. Nothing of it is visible before its object is
/// finished, and dropping it leaves nothing behind.
pub(in crate::data) struct Intake<Writer: ObjectWriter + ?Sized = dyn ObjectWriter> {
    pub(super) sealing: Arc<Sealing>,
    pub(super) writer: Box<Writer>,
    pub(super) key: ContentKey,
    pub(super) size: u64,
    /// Plaintext that does not fill a chunk yet.
    pub(super) partial: BytesMut,
    pub(super) names: ChunkListHasher,
    pub(super) examiner: Examiner,
    pub(super) in_flight: FuturesOrdered<BoxFuture<'static, Result<Chunk, ServiceError>>>,
    /// Passed from chunk to chunk: it has seen all before the next one.
    pub(super) hasher: oneshot::Receiver<DataHasher>,
}

impl Intake {
    /// Begins to take data that this examines.
    pub(in crate::data) async fn begin(
        sealing: Arc<Sealing>,
        examiner: Examiner,
    ) -> Result<Self, ServiceError> {
        let writer = sealing.objects.create().await?;
        Ok(Self::over(sealing, writer, ContentKey::random(), examiner))
    }
}

impl<Writer: ObjectWriter + ?Sized> Intake<Writer> {
    /// Data that is sealed with this key, and goes to this writer.
    pub(super) fn over(
        sealing: Arc<Sealing>,
        writer: Box<Writer>,
        key: ContentKey,
        examiner: Examiner,
    ) -> Self {
        Self {
            sealing,
            writer,
            key,
            size: 0,
            partial: BytesMut::new(),
            names: ChunkListHasher::default(),
            examiner,
            in_flight: FuturesOrdered::new(),
            hasher: passed(DataHasher::new()),
        }
    }

    /// Plaintext bytes that have arrived.
    pub(in crate::data) fn size(&self) -> u64 {
        self.size
    }

    /// Takes the next piece; waits while enough is in memory.
    ///
    /// # Errors
    /// See [`Upload::write`](crate::Upload::write).
    pub(in crate::data) async fn write(&mut self, mut piece: Bytes) -> Result<(), ServiceError> {
        self.size += piece.len() as u64;
        if self.size > MAX_OBJECT_SIZE {
            return Err(ServiceError::invalid("data", "is larger than 1 PiB"));
        }
        while !piece.is_empty() {
            let room = CHUNK_SIZE as usize - self.partial.len();
            let taken = piece.split_to(piece.len().min(room));
            self.partial.reserve(room);
            self.partial.extend_from_slice(&taken);
            if self.partial.len() == CHUNK_SIZE as usize {
                let full = std::mem::take(&mut self.partial).freeze();
                self.take_chunk(full).await?;
            }
        }
        Ok(())
    }

    async fn take_chunk(&mut self, plaintext: Bytes) -> Result<(), ServiceError> {
        self.examiner.examine(&plaintext).await?;
        let (pass_on, hasher) = oneshot::channel();
        let before = std::mem::replace(&mut self.hasher, hasher);
        let work = hash_and_seal(self.sealing.clone(), self.key.clone(), plaintext, before, pass_on);
        self.in_flight.push_back(begun(work));
        while self.in_flight.len() >= IN_FLIGHT {
            self.store_next().await?;
        }
        Ok(())
    }

    async fn store_next(&mut self) -> Result<(), ServiceError> {
        if let Some(chunk) = self.in_flight.next().await {
            let chunk = chunk?;
            self.names.push(&chunk.name());
            self.writer.append(chunk).await?;
        }
        Ok(())
    }

    /// Waits until all whole chunks are handed to the store.
    pub(super) async fn settle(&mut self) -> Result<(), ServiceError> {
        while !self.in_flight.is_empty() {
            self.store_next().await?;
        }
        Ok(())
    }
}

impl Intake {
    /// Hands the last of what has arrived to the store, and says what plugins noted.
    pub(in crate::data) async fn seal(mut self) -> Result<(Sealed, Notes), ServiceError> {
        if !self.partial.is_empty() {
            let last = std::mem::take(&mut self.partial).freeze();
            self.take_chunk(last).await?;
        }
        self.settle().await?;
        let sealed = Sealed {
            data_hash: self.hasher.await.map_err(cut_off)?.finish(),
            size: self.size,
            chunk_list: self.names.finish(),
            key: self.key,
            writer: self.writer,
        };
        Ok((sealed, self.examiner.finish()))
    }
}

/// Hashes a chunk once those before it are hashed, passes the hasher on, and seals the chunk.
///
/// Hashing and sealing in one pass costs less. Where cores are idle, though, the next chunk
/// shall not wait for both.
async fn hash_and_seal(
    sealing: Arc<Sealing>,
    key: ContentKey,
    plaintext: Bytes,
    before: oneshot::Receiver<DataHasher>,
    pass_on: oneshot::Sender<DataHasher>,
) -> Result<Chunk, ServiceError> {
    let mut hasher = before.await.map_err(cut_off)?;
    let (sealer, cpu) = (sealing.sealer.clone(), sealing.cpu.clone());
    let length = plaintext.len();
    let work = move || {
        if cpu.idle_cores() > KEPT_FREE {
            hasher.update(&plaintext);
            // Where the upload was given up, nobody takes it.
            let _ = pass_on.send(hasher);
            sealer.seal(&key, &plaintext)
        } else {
            let chunk = sealer.seal_and_hash(&key, &plaintext, &mut hasher);
            let _ = pass_on.send(hasher);
            chunk
        }
    };
    sealing.cpu.run_on(length, work).await
}

/// Something that has been passed on already.
pub(super) fn passed<T>(value: T) -> oneshot::Receiver<T> {
    let (sender, receiver) = oneshot::channel();
    // The receiver is there.
    let _ = sender.send(value);
    receiver
}

/// Runs a piece of work at once, and not only when it is awaited.
pub(super) fn begun<T: Send + 'static>(
    work: impl Future<Output = Result<T, ServiceError>> + Send + 'static,
) -> BoxFuture<'static, Result<T, ServiceError>> {
    let task = tokio::spawn(in_same_trace(in_same_epoch(work)));
    async move {
        match task.await {
            Ok(result) => result,
            Err(error) => Err(cut_off(error)),
        }
    }
    .boxed()
}

/// The runtime is shutting down, or the work panicked.
pub(super) fn cut_off(error: impl std::fmt::Display) -> ServiceError {
    ServiceError::Unavailable(format!("work was cut off: {error}").into())
}
