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
    inbox::ItemState,
    ports::{FetchError, Found, ObjectWriter, OpenedChunk, Resumed, StoreError, Unsealable},
    share::ReadableObject,
};
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};

use super::{OpenObject, READ_AHEAD, Source};
use crate::{ServiceError, data::seal::PassingHash, plugin_manager::Examiner};

/// A sealed chunk and its plaintext, which has the length of its place.
type Piece = (Chunk, Bytes);

/// An object on its way through the check.
struct Check {
    object: Arc<OpenObject>,
    chunks: BoxStream<'static, Result<Piece, ServiceError>>,
    /// Keeps what comes from peers.
    keeper: Option<Box<dyn ObjectWriter>>,
    /// Shows plugins what comes from others.
    examiner: Examiner,
    hash: PassingHash,
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
                (kept_and_fetched(&object, found, kept), Some(writer))
            }
            Source::Checked | Source::Local => {
                (opened_chunks(object.clone(), stored_chunks(object.clone())), None)
            }
        };
        let examiner = match object.reader.comes_first(&object) {
            true => object.reader.plugins.examiner_of_received(),
            false => Examiner::default(),
        };
        Ok(Self {
            examiner,
            chunks,
            hash: PassingHash::new(object.reader.sealing.clone()),
            object,
            keeper,
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
            self.hash.add(plaintext.clone()).await?;
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

    /// The whole plaintext has passed: does it have the hash that was asked for?
    async fn conclude(&mut self) -> Result<(), ServiceError> {
        let object = &self.object;
        if self.hash.finish().await? != object.data_hash {
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
        let turn = object.reader.locks.lock(object.data_hash.locator()).await?;
        turn.work(self.keep_in_turn()).await
    }

    async fn keep_in_turn(&mut self) -> Result<(), ServiceError> {
        let object = &self.object;
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
        let id = &object.envelope.id;
        let deliveries = object.reader.deliveries.as_ref();
        let word = match deliveries {
            Some(deliveries) => deliveries.word_on(&object.envelope, &object.data_hash).await,
            None => None,
        };
        // In one commit, as a rule. What is said of the data never comes after what says that it
        // was read: a node that is killed in between acknowledges it all the same.
        let ((), kept, advanced) = tokio::join!(
            biased;
            async {
                if let Some(deliveries) = deliveries {
                    deliveries.keep(word.as_ref()).await;
                }
            },
            object.reader.readable.put_readable(&readable),
            object.reader.inbox.advance_item(id, ItemState::Fetched, now_ms()),
        );
        kept?;
        if let Err(error) = advanced {
            tracing::warn!(locator = %id.locator, %error, "an item was not marked as fetched");
        }
        if let Some(deliveries) = deliveries {
            deliveries.record_soon();
        }
        Ok(())
    }
}

impl OpenObject {
    /// Decrypts a chunk and checks that it has the length of its place.
    pub(super) async fn open_chunk(&self, index: u64, chunk: Chunk) -> Result<Bytes, ServiceError> {
        let opened = self.reader.sealing.open_chunk(&self.key, chunk).await?;
        self.in_place(index, opened.map(Bytes::from))
    }

    /// The plaintext of a chunk where it could be opened and has the length of its place.
    fn in_place(&self, index: u64, opened: Result<Bytes, Unsealable>) -> Result<Bytes, ServiceError> {
        match opened {
            Ok(plaintext) if plaintext.len() as u64 == self.envelope.chunk_plaintext_len(index) => {
                Ok(plaintext)
            }
            Ok(_) => Err(ServiceError::Damaged(
                format!("chunk {index} has another length than it should").into(),
            )),
            Err(error) => Err(ServiceError::Damaged(format!("chunk {index} is {error}").into())),
        }
    }
}

/// Chunks that have their names, opened.
fn opened_chunks(
    object: Arc<OpenObject>,
    sealed: BoxStream<'static, Result<Chunk, ServiceError>>,
) -> BoxStream<'static, Result<Piece, ServiceError>> {
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
fn kept_and_fetched(
    object: &Arc<OpenObject>,
    found: &Found,
    kept: BoxStream<'static, Chunk>,
) -> BoxStream<'static, Result<Piece, ServiceError>> {
    let count = Arc::new(AtomicU64::new(0));
    let (counted, trace) = (count.clone(), object.trace.clone());
    let kept = kept.map(move |chunk| {
        counted.fetch_add(1, Ordering::Relaxed);
        trace.kept_chunk();
        Ok(chunk)
    });
    let kept = opened_chunks(object.clone(), kept.boxed());
    let (object, found) = (object.clone(), found.clone());
    // How many were kept is known once they have passed.
    let rest = stream::once(async move { fetched(&object, &found, count.load(Ordering::Relaxed)) });
    kept.chain(rest.flatten()).boxed()
}

/// The chunks from `first` on, from peers; they are opened as they arrive.
fn fetched(
    object: &Arc<OpenObject>,
    found: &Found,
    first: u64,
) -> BoxStream<'static, Result<Piece, ServiceError>> {
    let opener = object.reader.sealing.opener(&object.key);
    let chunks = object
        .reader
        .network
        .fetch_opened(found, first, opener, &object.trace);
    let object = object.clone();
    let pieces = chunks.zip(stream::iter(first..));
    pieces
        .map(move |(opened, index): (Result<OpenedChunk, FetchError>, u64)| {
            let OpenedChunk { chunk, plaintext } = opened?;
            Ok((chunk, object.in_place(index, plaintext)?))
        })
        .boxed()
}
