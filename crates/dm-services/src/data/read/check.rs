//! Streams a whole object whose plaintext has not been checked against the
//! data hash yet, checks it on the way, and keeps it where it came from peers.
//! Where that is interrupted, the chunks that came stay here, and the next
//! retrieval asks for the others.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use dm_core::{
    clock::now_ms,
    envelope::Chunk,
    hash::DataHasher,
    inbox::ItemState,
    ports::{Found, ObjectWriter, Resumed, StoreError},
    share::ReadableObject,
};
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};

use super::{OpenObject, READ_AHEAD, Source};
use crate::{ServiceError, plugin_manager::Examiner};

/// A sealed chunk and its plaintext.
type OpenedChunk = (Chunk, Bytes);

/// An object on its way through the check.
struct Check {
    object: Arc<OpenObject>,
    chunks: BoxStream<'static, Result<OpenedChunk, ServiceError>>,
    /// Keeps what comes from peers.
    keeper: Option<Box<dyn ObjectWriter>>,
    /// Shows plugins what comes from others.
    examiner: Examiner,
    hasher: DataHasher,
    /// The newest piece; it is handed on once there is another or all is checked.
    held_back: Option<Bytes>,
}

/// All pieces of the object in order; the last one only once the hash holds.
pub(super) fn whole(object: OpenObject) -> BoxStream<'static, Result<Bytes, ServiceError>> {
    stream::once(Check::begin(object))
        .map_ok(|check| {
            stream::try_unfold(check, |mut check| async move {
                let piece = check.next_piece().await?;
                Ok(piece.map(|piece| (piece, check)))
            })
        })
        .try_flatten()
        .boxed()
}

impl Check {
    async fn begin(object: OpenObject) -> Result<Self, ServiceError> {
        let object = Arc::new(object);
        let (chunks, keeper) = match &object.source {
            Source::Remote(found) => {
                let objects = &object.reader.objects;
                let Resumed { kept, writer } = objects.resume(&object.envelope).await?;
                (rest_from_peers(&object, found, kept), Some(writer))
            }
            Source::Checked | Source::Local => (stored_chunks(object.clone()), None),
        };
        let examiner = match object.reader.comes_first(&object) {
            true => object.reader.plugins.examiner_of_received(),
            false => Examiner::default(),
        };
        Ok(Self {
            examiner,
            chunks: opened_chunks(object.clone(), chunks),
            object,
            keeper,
            hasher: DataHasher::new(),
            held_back: None,
        })
    }

    async fn next_piece(&mut self) -> Result<Option<Bytes>, ServiceError> {
        let piece = self.next_checked_piece().await;
        if matches!(
            piece,
            Err(ServiceError::Damaged(_) | ServiceError::Refused { .. })
        ) && let Some(keeper) = self.keeper.take()
        {
            // Going on with what is wrong, or not wanted here, would be of no use.
            keeper.discard();
        }
        piece
    }

    async fn next_checked_piece(&mut self) -> Result<Option<Bytes>, ServiceError> {
        while let Some((sealed, plaintext)) = self.chunks.try_next().await? {
            if let Some(keeper) = &mut self.keeper {
                keeper.append(sealed).await?;
            }
            self.hash(plaintext.clone()).await?;
            self.examiner.examine(&plaintext).await?;
            if let Some(piece) = self.held_back.replace(plaintext) {
                return Ok(Some(piece));
            }
        }
        let Some(last) = self.held_back.take() else {
            return Ok(None);
        };
        self.conclude().await?;
        Ok(Some(last))
    }

    async fn hash(&mut self, plaintext: Bytes) -> Result<(), ServiceError> {
        let hasher = std::mem::take(&mut self.hasher);
        self.hasher = self.object.reader.sealing.hash_on(hasher, plaintext).await?;
        Ok(())
    }

    /// The whole plaintext has passed: does it have the hash that was asked for?
    async fn conclude(&mut self) -> Result<(), ServiceError> {
        let object = &self.object;
        if std::mem::take(&mut self.hasher).finish() != object.data_hash {
            object.reader.distrust.add(object.envelope.id);
            return Err(ServiceError::Damaged(
                format!(
                    "the object of {} does not hold what it was found under",
                    object.envelope.id.owner
                )
                .into(),
            ));
        }
        self.keep().await
    }

    /// Keeps what has been checked, so that it can be read again at once.
    async fn keep(&mut self) -> Result<(), ServiceError> {
        let object = &self.object;
        let _turn = object.reader.locks.lock(object.data_hash.locator()).await?;
        if let Some(keeper) = self.keeper.take() {
            match keeper.finish(&object.envelope).await {
                // Somebody else stored it, or a newer envelope of it, meanwhile.
                Ok(()) | Err(StoreError::Stale { .. }) => {}
                // The reader gets what was checked; next time it is fetched again.
                Err(StoreError::Full) => {
                    tracing::warn!(locator = %object.envelope.id.locator, "no room to keep what was read");
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        // This node may have shared the same data itself meanwhile.
        if object.reader.own.own_object(&object.data_hash).await?.is_some() {
            return Ok(());
        }
        let readable = ReadableObject {
            data_hash: object.data_hash,
            id: object.envelope.id,
            size: object.size(),
            chunk_list: object.envelope.chunk_list,
            key: object.reader.key_ring.wrap(&object.key),
        };
        if object.envelope.expires_at.is_some() {
            let erasures = &object.reader.erasures;
            erasures
                .schedule_erasure(&object.data_hash, object.envelope.expires_at)
                .await?;
        }
        // Before anything says that the data was read: a node that is killed in between
        // acknowledges it all the same.
        if let Some(deliveries) = &object.reader.deliveries {
            deliveries.has_read(&object.envelope, &object.data_hash).await;
        }
        object.reader.readable.put_readable(&readable).await?;
        let id = &object.envelope.id;
        let inbox = &object.reader.inbox;
        if let Err(error) = inbox.advance_item(id, ItemState::Fetched, now_ms()).await {
            tracing::warn!(locator = %id.locator, %error, "an item was not marked as fetched");
        }
        if let Some(deliveries) = &object.reader.deliveries {
            deliveries.record_soon();
        }
        Ok(())
    }
}

fn opened_chunks(
    object: Arc<OpenObject>,
    sealed: BoxStream<'static, Result<Chunk, ServiceError>>,
) -> BoxStream<'static, Result<OpenedChunk, ServiceError>> {
    sealed
        .enumerate()
        .map(move |(index, chunk)| {
            let object = object.clone();
            async move {
                let chunk = chunk?;
                let plaintext = object.open_chunk(index as u64, chunk.clone()).await?;
                Ok((chunk, plaintext))
            }
        })
        .buffered(READ_AHEAD)
        .boxed()
}

fn stored_chunks(object: Arc<OpenObject>) -> BoxStream<'static, Result<Chunk, ServiceError>> {
    stream::iter(0..object.envelope.chunk_count())
        .map(move |index| {
            let object = object.clone();
            async move { object.stored_chunk(index).await }
        })
        .buffered(READ_AHEAD)
        .boxed()
}

/// The chunks that were kept, and those that follow, from peers.
fn rest_from_peers(
    object: &OpenObject,
    found: &Found,
    kept: BoxStream<'static, Chunk>,
) -> BoxStream<'static, Result<Chunk, ServiceError>> {
    let network = object.reader.network.clone();
    let (found, trace) = (found.clone(), object.trace.clone());
    let count = Arc::new(AtomicU64::new(0));
    let (counted, counting_trace) = (count.clone(), trace.clone());
    let kept = kept.inspect(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        counting_trace.kept_chunk();
    });
    // How many were kept is known once they have passed.
    let rest = stream::once(async move { network.fetch(&found, count.load(Ordering::Relaxed), &trace) })
        .flatten()
        .map_err(ServiceError::from);
    kept.map(Ok).chain(rest).boxed()
}
