//! Shares data that arrives in pieces, with bounded memory.

use bytes::{Bytes, BytesMut};
use dm_core::{
    envelope::{CHUNK_SIZE, Chunk, ChunkListHasher, MAX_OBJECT_SIZE},
    event::EventKind,
    hash::DataHasher,
    plugin::Notes,
    ports::ObjectWriter,
    secret::ContentKey,
    share::{ShareOutcome, ShareTerms},
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesOrdered};
use tokio::sync::oneshot;

use super::{
    DataManager, Examiner,
    seal::Sealed,
    share::{Request, Source},
};
use crate::ServiceError;

/// Chunks that are sealed at the same time or wait to be written.
const IN_FLIGHT: usize = 8;

/// Data on its way in. Nothing of it is visible before [`Upload::finish`], and
/// dropping it leaves nothing behind.
pub struct Upload {
    manager: DataManager,
    writer: Box<dyn ObjectWriter>,
    key: ContentKey,
    size: u64,
    /// Plaintext that does not fill a chunk yet.
    partial: BytesMut,
    names: ChunkListHasher,
    examiner: Examiner,
    sealing: FuturesOrdered<BoxFuture<'static, Result<Chunk, ServiceError>>>,
    /// Passed from chunk to chunk: it has seen all before the next one.
    hasher: oneshot::Receiver<DataHasher>,
}

impl Upload {
    /// Begins to take data that plugins examine.
    pub(super) async fn begin(manager: DataManager) -> Result<Self, ServiceError> {
        let examiner = Examiner::new(manager.inner.ports.plugins.as_ref());
        Self::begin_with(manager, examiner).await
    }

    /// Begins to take data that this node has already.
    pub(super) async fn begin_again(manager: DataManager) -> Result<Self, ServiceError> {
        Self::begin_with(manager, Examiner::new(None)).await
    }

    async fn begin_with(manager: DataManager, examiner: Examiner) -> Result<Self, ServiceError> {
        let writer = manager.inner.ports.objects.create().await?;
        Ok(Self {
            examiner,
            manager,
            writer,
            key: ContentKey::random(),
            size: 0,
            partial: BytesMut::new(),
            names: ChunkListHasher::default(),
            sealing: FuturesOrdered::new(),
            hasher: passed(DataHasher::new()),
        })
    }

    /// Takes the next piece; waits while enough is in memory.
    ///
    /// # Errors
    /// [`ServiceError::StorageFull`], [`ServiceError::Refused`] by a plugin, and
    /// faults of the store; the upload is lost then.
    pub async fn write(&mut self, mut piece: Bytes) -> Result<(), ServiceError> {
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
        let work = hash_and_seal(self.manager.clone(), self.key.clone(), plaintext, before, pass_on);
        self.sealing.push_back(begun(work));
        while self.sealing.len() >= IN_FLIGHT {
            self.store_next().await?;
        }
        Ok(())
    }

    async fn store_next(&mut self) -> Result<(), ServiceError> {
        if let Some(chunk) = self.sealing.next().await {
            let chunk = chunk?;
            self.names.push(&chunk.name());
            self.writer.append(chunk).await?;
        }
        Ok(())
    }

    /// Hands the last of what has arrived to the store, and says what plugins noted.
    pub(super) async fn seal(mut self) -> Result<(Sealed, Notes), ServiceError> {
        if !self.partial.is_empty() {
            let last = std::mem::take(&mut self.partial).freeze();
            self.take_chunk(last).await?;
        }
        while !self.sealing.is_empty() {
            self.store_next().await?;
        }
        let sealed = Sealed {
            data_hash: self.hasher.await.map_err(cut_off)?.finish(),
            size: self.size,
            chunk_list: self.names.finish(),
            key: self.key,
            writer: self.writer,
        };
        Ok((sealed, self.examiner.finish()))
    }

    /// Shares what has arrived. The same data to the same recipient again is
    /// the same share.
    ///
    /// # Errors
    /// As [`DataManager::share_bytes`].
    #[tracing::instrument(level = "debug", skip_all, fields(recipient = %terms.recipient, size = self.size))]
    pub async fn finish(self, terms: ShareTerms) -> Result<ShareOutcome, ServiceError> {
        if self.size == 0 {
            return Err(ServiceError::invalid("data", "cannot be empty"));
        }
        let manager = self.manager.clone();
        let (sealed, notes) = self.seal().await?;
        let request = Request {
            data_hash: sealed.data_hash,
            kind: EventKind::DataShare,
            terms,
        };
        manager
            .share(request, Source::Sealed(Box::new(sealed), notes))
            .await
    }
}

/// Hashes a chunk once those before it are hashed, passes the hasher on, and
/// seals the chunk while it is in the processor's cache and the next is hashed.
async fn hash_and_seal(
    manager: DataManager,
    key: ContentKey,
    plaintext: Bytes,
    before: oneshot::Receiver<DataHasher>,
    pass_on: oneshot::Sender<DataHasher>,
) -> Result<Chunk, ServiceError> {
    let mut hasher = before.await.map_err(cut_off)?;
    let sealer = manager.inner.ports.sealer.clone();
    let length = plaintext.len();
    let work = move || {
        hasher.update(&plaintext);
        // Where the upload was given up, nobody takes it.
        let _ = pass_on.send(hasher);
        sealer.seal(&key, &plaintext)
    };
    manager.inner.cpu.run_on(length, work).await
}

/// Something that has been passed on already.
fn passed<T>(value: T) -> oneshot::Receiver<T> {
    let (sender, receiver) = oneshot::channel();
    // The receiver is there.
    let _ = sender.send(value);
    receiver
}

/// Runs a piece of work at once, and not only when it is awaited.
fn begun<T: Send + 'static>(
    work: impl Future<Output = Result<T, ServiceError>> + Send + 'static,
) -> BoxFuture<'static, Result<T, ServiceError>> {
    let task = tokio::spawn(work);
    async move {
        match task.await {
            Ok(result) => result,
            Err(error) => Err(cut_off(error)),
        }
    }
    .boxed()
}

/// The runtime is shutting down, or the work panicked.
fn cut_off(error: impl std::fmt::Display) -> ServiceError {
    ServiceError::Unavailable(format!("work was cut off: {error}"))
}
