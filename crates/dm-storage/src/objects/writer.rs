use std::{
    fs::File,
    mem,
    sync::{Arc, PoisonError},
};

use async_trait::async_trait;
use dm_core::{
    envelope::{Chunk, SignedEnvelope},
    ports::{ObjectWriter, Resumed, StoreError},
};
use futures::{
    StreamExt, future,
    stream::{self, BoxStream},
};

use super::{
    Objects,
    bodies::Placed,
    changes,
    file_writer::{FileWriter, Kept},
    partial::whole_chunk,
    record::{Body, BodyId, Record, entry_key},
    tally::Tally,
};
use crate::{
    blocking::{blocking, joined},
    commits::{committer::Need, transaction::Transaction},
};

/// Kept chunks that are read at the same time.
const READ_AHEAD: usize = 4;

/// Keeps the chunks of a new object in memory until they are too many, and
/// from then on writes them to a file.
pub(crate) struct LocalWriter {
    pub(super) objects: Arc<Objects>,
    pub(super) body: BodyId,
    pub(super) tally: Tally,
    pub(super) place: Place,
}

pub(super) enum Place {
    Memory(Vec<Chunk>),
    File(Box<FileWriter>),
    /// A write failed, and the file is gone.
    Failed,
}

impl LocalWriter {
    pub(crate) fn new(objects: Arc<Objects>) -> Self {
        Self {
            body: objects.ids.next(),
            objects,
            tally: Tally::default(),
            place: Place::Memory(Vec::new()),
        }
    }

    /// Goes on with what an earlier writer has left of a large object.
    pub(crate) async fn resume(
        objects: Arc<Objects>,
        envelope: &SignedEnvelope,
    ) -> Result<Resumed, StoreError> {
        let mut writer = Self::new(objects);
        let objects = &writer.objects;
        let is_large = envelope.sealed_size() > objects.inline_bytes;
        let claim = is_large.then(|| objects.files.partials.claim(envelope)).flatten();
        let Some(claim) = claim else {
            return Ok(Resumed {
                kept: stream::empty().boxed(),
                writer: Box::new(writer),
            });
        };
        let (file_writer, file) = FileWriter::resume(objects, writer.body, claim).await?;
        let kept = kept_chunks(file, envelope.clone(), file_writer.kept());
        writer.place = Place::File(Box::new(file_writer));
        Ok(Resumed {
            kept,
            writer: Box::new(writer),
        })
    }

    async fn move_to_file(&self, chunks: Vec<Chunk>) -> Result<FileWriter, StoreError> {
        let mut file = FileWriter::create(&self.objects, self.body).await?;
        for chunk in chunks {
            file.append(chunk).await?;
        }
        Ok(file)
    }
}

#[async_trait]
impl ObjectWriter for LocalWriter {
    async fn append(&mut self, chunk: Chunk) -> Result<(), StoreError> {
        self.tally.push(&chunk)?;
        let fits_inline = self.tally.bytes() <= self.objects.inline_bytes;
        self.place = match mem::replace(&mut self.place, Place::Failed) {
            Place::Memory(mut chunks) => {
                chunks.push(chunk);
                if fits_inline {
                    Place::Memory(chunks)
                } else {
                    let file = self.move_to_file(chunks).await;
                    Place::File(Box::new(
                        file.map_err(|error| self.objects.note_file_fault(error))?,
                    ))
                }
            }
            Place::File(mut file) => match file.append(chunk).await {
                Ok(()) => Place::File(file),
                Err(error) => {
                    file.discard();
                    return Err(self.objects.note_file_fault(error));
                }
            },
            Place::Failed => return Err(StoreError::Mismatch("an earlier chunk could not be written")),
        };
        Ok(())
    }

    async fn finish(self: Box<Self>, envelope: &SignedEnvelope) -> Result<(), StoreError> {
        let (envelope, refused) = (envelope.clone(), envelope.sequence);
        // A task of its own: what follows the commit happens even if the caller goes away.
        joined(tokio::spawn(async move { self.store(envelope, refused).await })).await
    }

    async fn restore(self: Box<Self>, envelope: &SignedEnvelope) -> Result<(), StoreError> {
        let (envelope, refused) = (envelope.clone(), envelope.sequence.saturating_add(1));
        joined(tokio::spawn(async move { self.store(envelope, refused).await })).await
    }

    fn discard(self: Box<Self>) {
        if let Place::File(file) = self.place {
            file.discard();
        }
    }
}

impl LocalWriter {
    /// Stores the object unless the stored one has the sequence number
    /// `refused` or a higher one.
    async fn store(self, envelope: SignedEnvelope, refused: u64) -> Result<(), StoreError> {
        let Self {
            objects,
            body,
            tally,
            place,
        } = self;
        if let Err(mismatch) = tally.check(&envelope) {
            if let Place::File(file) = place {
                file.discard();
            }
            return Err(mismatch);
        }
        let id = envelope.id;
        let need = Need::of(&envelope);
        let (body, chunks, placed) = match place {
            Place::Memory(chunks) => (Body::Inline(body), chunks, None),
            Place::File(file) => {
                let finished = file.finish(&envelope).await;
                let placed = finished.map_err(|error| objects.note_file_fault(error))?;
                objects.file_state.succeeded();
                (objects.place_for_new().place_of(body), Vec::new(), Some(placed))
            }
            Place::Failed => return Err(StoreError::Mismatch("an earlier chunk could not be written")),
        };
        let record = Record { body, envelope };
        let change =
            move |transaction: &mut Transaction<'_>| changes::put(transaction, &record, &chunks, refused);
        let committed = objects.committer.run_on(need, entry_key(&id), change).await;
        if let Some(placed) = placed {
            after_commit(&committed, placed);
        }
        objects.clean_up(id, committed?).await;
        objects.damage.mended(&id);
        Ok(())
    }
}

/// The whole chunks at the beginning of an unfinished file; their names are
/// written down as they are read.
fn kept_chunks(file: Arc<File>, envelope: SignedEnvelope, kept: Kept) -> BoxStream<'static, Chunk> {
    let envelope = Arc::new(envelope);
    stream::iter(0..envelope.chunk_count())
        .map(move |index| {
            let (file, envelope) = (file.clone(), envelope.clone());
            blocking(move || Ok(whole_chunk(&file, &envelope, index)))
        })
        .buffered(READ_AHEAD)
        .map(|read| read.ok().flatten())
        .take_while(|chunk| future::ready(chunk.is_some()))
        .filter_map(future::ready)
        .inspect(move |chunk| {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push(chunk.name());
        })
        .boxed()
}

/// Deletes the body of an object that was refused. Where it is not known whether
/// it was, its record may be there: then the body stays, and the next start finds
/// out whether anybody needs it.
fn after_commit<T>(committed: &Result<T, StoreError>, placed: Box<dyn Placed>) {
    match committed {
        Err(StoreError::Stale { .. } | StoreError::Full | StoreError::Unavailable(_)) => drop(placed),
        Ok(_) | Err(_) => placed.keep(),
    }
}
