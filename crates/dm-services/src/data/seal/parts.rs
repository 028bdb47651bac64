//! Takes plaintext that arrives in parts, between which the node may have been killed.
//! What was acknowledged is taken up again from the sealed chunks.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use dm_core::{
    envelope::{CHUNK_SIZE, ChunkListHasher},
    hash::DataHasher,
    ports::{ObjectWriter, StoreError, UnfinishedObjects, UnfinishedWriter},
    secret::ContentKey,
    upload::{Received, UploadId},
};
use futures::{StreamExt, TryStreamExt, stream};

use super::{
    Sealing,
    intake::{Intake, cut_off, passed},
};
use crate::{ServiceError, plugin_manager::Examiner};

/// Chunks that are read and opened at the same time.
const READ_AHEAD: usize = 4;

/// Data on its way into an object that comes in parts.
pub(in crate::data) struct PartIntake {
    intake: Intake<dyn UnfinishedWriter>,
    acknowledged: Place,
}

/// Where an intake was when what had come was made durable.
#[derive(Clone)]
struct Place {
    size: u64,
    partial: Bytes,
    names: ChunkListHasher,
    examiner: Examiner,
    hasher: DataHasher,
}

impl PartIntake {
    /// Takes up what is durable of an upload: its chunks are read, opened, hashed and
    /// examined again.
    ///
    /// # Errors
    /// Faults of the store, and [`ServiceError::Damaged`] where a chunk cannot be opened.
    pub(in crate::data) async fn take_up(
        sealing: Arc<Sealing>,
        objects: &Arc<dyn UnfinishedObjects>,
        examiner: Examiner,
        id: UploadId,
        key: ContentKey,
        received: &Received,
    ) -> Result<Self, ServiceError> {
        let chunks = received.offset / CHUNK_SIZE;
        let writer = objects.go_on(id, chunks).await?;
        let mut intake = Intake::over(sealing.clone(), writer, key.clone(), examiner);
        let mut hasher = DataHasher::new();
        let mut opened = stream::iter(0..chunks)
            .map(|index| {
                let (sealing, key) = (&sealing, &key);
                async move {
                    let chunk = objects
                        .unfinished_chunk(id, index)
                        .await
                        .map_err(|error| match error {
                            StoreError::Missing => damaged(id),
                            error => error.into(),
                        })?;
                    let plaintext = sealing.open_chunk(key, chunk.clone()).await?;
                    Ok::<_, ServiceError>((chunk, plaintext.map_err(|_| damaged(id))?))
                }
            })
            .buffered(READ_AHEAD);
        while let Some((chunk, plaintext)) = opened.try_next().await? {
            let plaintext = Bytes::from(plaintext);
            intake.examiner.examine(&plaintext).await?;
            hasher = sealing.hash_on(hasher, vec![plaintext]).await?;
            intake.names.push(&chunk.name());
            intake.writer.append(chunk).await?;
        }
        drop(opened);
        if let Some(tail) = &received.tail {
            let tail = sealing.sealer.open(&key, tail).map_err(|_| damaged(id))?;
            intake.partial.extend_from_slice(&tail);
        }
        intake.size = chunks * CHUNK_SIZE + intake.partial.len() as u64;
        if intake.size != received.offset {
            return Err(damaged(id));
        }
        intake.hasher = passed(hasher.clone());
        intake.writer.sync().await?;
        let acknowledged = intake.place(hasher);
        Ok(Self { intake, acknowledged })
    }

    /// Plaintext bytes that have arrived.
    pub(in crate::data) fn size(&self) -> u64 {
        self.intake.size()
    }

    /// Takes the next piece; waits while enough is in memory.
    ///
    /// # Errors
    /// See [`Upload::write`](crate::Upload::write); then this is of no more use.
    pub(in crate::data) async fn write(&mut self, piece: Bytes) -> Result<(), ServiceError> {
        self.intake.write(piece).await
    }

    /// Makes the chunks durable that have arrived. What is returned is to be kept; then
    /// all of it is durable.
    ///
    /// # Errors
    /// Faults of the store; then this is of no more use.
    pub(in crate::data) async fn sync(&mut self) -> Result<Received, ServiceError> {
        let intake = &mut self.intake;
        intake.settle().await?;
        intake.writer.sync().await?;
        let before = std::mem::replace(&mut intake.hasher, passed(DataHasher::new()));
        let hasher = before.await.map_err(cut_off)?;
        intake.hasher = passed(hasher.clone());
        self.acknowledged = intake.place(hasher);
        let tail = self.acknowledged.partial.clone();
        let sealed = match tail.is_empty() {
            true => None,
            false => Some(intake.sealing.seal_chunk(&intake.key, tail).await?),
        };
        Ok(Received {
            offset: intake.size,
            tail: sealed.map(|chunk| chunk.bytes().clone()),
        })
    }

    /// Goes back to where this was when it was last synced.
    ///
    /// # Errors
    /// Faults of the store; then this is of no more use.
    pub(in crate::data) async fn rewind(&mut self) -> Result<(), ServiceError> {
        let intake = &mut self.intake;
        intake.settle().await?;
        intake.writer.rewind().await?;
        let Place {
            size,
            partial,
            names,
            examiner,
            hasher,
        } = self.acknowledged.clone();
        intake.size = size;
        intake.partial = BytesMut::from(&partial[..]);
        intake.names = names;
        intake.examiner = examiner;
        intake.hasher = passed(hasher);
        Ok(())
    }

    /// What has arrived, to be sealed as a whole.
    pub(in crate::data) fn whole(self) -> Intake {
        let Intake {
            sealing,
            writer,
            key,
            size,
            partial,
            names,
            examiner,
            in_flight,
            hasher,
        } = self.intake;
        let writer: Box<dyn ObjectWriter> = writer;
        Intake {
            sealing,
            writer,
            key,
            size,
            partial,
            names,
            examiner,
            in_flight,
            hasher,
        }
    }
}

impl Intake<dyn UnfinishedWriter> {
    /// This place, where all whole chunks are stored and hashed.
    fn place(&self, hasher: DataHasher) -> Place {
        Place {
            size: self.size,
            partial: Bytes::copy_from_slice(&self.partial),
            names: self.names.clone(),
            examiner: self.examiner.clone(),
            hasher,
        }
    }
}

fn damaged(id: UploadId) -> ServiceError {
    StoreError::Corrupt(format!("what has come of upload {id}")).into()
}
