//! Writes the file of a large object, with a bounded number of chunks in memory.

use std::{
    fs::File,
    mem,
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use dm_core::{
    envelope::{Chunk, SignedEnvelope},
    hash::ChunkName,
    ports::StoreError,
};
use tokio::task::{JoinHandle, spawn_blocking};

use super::{
    Objects,
    bodies::{Placed, Receiver, Written},
    files::sync_folder,
    layout::{GROUP_CHUNKS, NAME_LEN, chunk_offset, name_offset},
    partial::Claim,
    record::BodyId,
    trailer::trailer,
    unfinished_file::UnfinishedFile,
};
use crate::{blocking::joined, disk::space::Space};

/// Chunks that are written in one go: 1 MiB.
const CHUNKS_PER_WRITE: usize = 4;
/// Bytes after which the disk is told to begin: what is flushed while more is
/// coming need not be waited for in the end, and dirty pages do not pile up.
const BYTES_PER_FLUSH: u64 = 32 << 20;

/// Something to be written at its place.
struct Piece {
    offset: u64,
    bytes: Bytes,
}

/// A body on its way into a file. While one write is under way the next pieces
/// are gathered; there is never more than that in memory.
pub(crate) struct FileWriter {
    space: Space,
    file: Arc<File>,
    unfinished: UnfinishedFile,
    /// Takes the body over.
    receiver: Box<dyn Receiver>,
    /// Whether the receiver is told of what is written before the end.
    is_streamed: bool,
    /// So many of the first chunks are written, or are about to be by `writing`.
    submitted: u64,
    /// Chunks that are in the file already; they are not written again.
    kept: Kept,
    /// So many of the first chunks are in the file already, too.
    already: u64,
    count: u64,
    /// Names that are not among the pieces yet.
    names: Vec<u8>,
    pieces: Vec<Piece>,
    writing: Option<JoinHandle<Result<(), StoreError>>>,
    flushing: Option<JoinHandle<Result<(), StoreError>>>,
    unflushed: u64,
}

/// Names of the first chunks of a file that was found, as far as they have
/// been read and checked.
pub(crate) type Kept = Arc<Mutex<Vec<ChunkName>>>;

impl FileWriter {
    /// A new file, which is deleted where nothing comes of it.
    pub(crate) async fn create(objects: &Objects, body: BodyId) -> Result<Self, StoreError> {
        let path = objects.files.incoming_path(body);
        let (file, unfinished) = joined(spawn_blocking(move || {
            let mut options = File::options();
            options.read(true).write(true).create_new(true);
            let file = options.open(&path).map_err(StoreError::from_io)?;
            Ok((file, UnfinishedFile::deleted_at(path)))
        }))
        .await?;
        let writer = Self::new(objects, body, Arc::new(file), unfinished);
        Ok(Self {
            is_streamed: true,
            ..writer
        })
    }

    /// A file that stays where it is when the writer is dropped before its end.
    /// The other file is for reading what it has already.
    pub(crate) async fn resume(
        objects: &Objects,
        body: BodyId,
        claim: Claim,
    ) -> Result<(Self, Arc<File>), StoreError> {
        let partials = objects.files.partials.clone();
        let (file, unfinished) = joined(spawn_blocking(move || {
            let open = || {
                partials.prune()?;
                let mut options = File::options();
                options.read(true).write(true).create(true).truncate(false);
                options.open(claim.path())
            };
            let file = open().map_err(StoreError::from_io)?;
            Ok((file, UnfinishedFile::kept_at(claim)))
        }))
        .await?;
        let file = Arc::new(file);
        let writer = Self::new(objects, body, file.clone(), unfinished);
        Ok((writer, file))
    }

    /// A file that has its first `already` chunks and stays where it is, whatever comes of
    /// the writer. A finished object gets its file under another name.
    pub(crate) async fn go_on(
        objects: &Objects,
        body: BodyId,
        path: PathBuf,
        already: u64,
    ) -> Result<Self, StoreError> {
        let folder = objects.files.uploads().to_owned();
        let (file, unfinished) = joined(spawn_blocking(move || {
            let open = || {
                let mut options = File::options();
                options.read(true).write(true).create(true).truncate(false);
                let file = options.open(&path)?;
                sync_folder(&folder)?;
                Ok(file)
            };
            let file = open().map_err(StoreError::from_io)?;
            Ok((file, UnfinishedFile::linked_from(path)))
        }))
        .await?;
        let writer = Self::new(objects, body, Arc::new(file), unfinished);
        Ok(Self { already, ..writer })
    }

    fn new(objects: &Objects, body: BodyId, file: Arc<File>, unfinished: UnfinishedFile) -> Self {
        Self {
            space: objects.space.clone(),
            file,
            unfinished,
            receiver: objects.place_for_new().receiver(body, &objects.committer),
            is_streamed: false,
            submitted: 0,
            kept: Kept::default(),
            already: 0,
            count: 0,
            names: Vec::new(),
            pieces: Vec::new(),
            writing: None,
            flushing: None,
            unflushed: 0,
        }
    }

    /// Where the names of chunks go that turn out to be in the file already.
    pub(crate) fn kept(&self) -> Kept {
        self.kept.clone()
    }

    /// Lets the file be deleted when the writer is dropped.
    pub(crate) fn discard(mut self) {
        self.unfinished.delete_when_dropped();
    }

    pub(crate) async fn append(&mut self, chunk: Chunk) -> Result<(), StoreError> {
        let index = self.count;
        self.count += 1;
        if index < self.already || (self.names.is_empty() && self.is_kept(index, &chunk)) {
            return Ok(());
        }
        self.names.extend_from_slice(chunk.name().as_bytes());
        self.pieces.push(Piece {
            offset: chunk_offset(index),
            bytes: chunk.bytes().clone(),
        });
        if self.count.is_multiple_of(GROUP_CHUNKS) {
            self.add_names();
        }
        if self.pieces.len() >= CHUNKS_PER_WRITE {
            self.write_pieces().await?;
        }
        Ok(())
    }

    /// Makes durable what was appended.
    pub(crate) async fn sync(&mut self) -> Result<(), StoreError> {
        if !self.pieces.is_empty() || !self.names.is_empty() {
            self.write_pieces().await?;
        }
        self.settle().await?;
        self.unflushed = 0;
        let file = self.file.clone();
        joined(spawn_blocking(move || {
            file.sync_data().map_err(StoreError::from_io)
        }))
        .await
    }

    /// Goes back to behind the first `count` chunks, which are in the file.
    pub(crate) async fn rewind(&mut self, count: u64) -> Result<(), StoreError> {
        self.pieces.clear();
        self.names.clear();
        self.settle().await?;
        self.count = count;
        Ok(())
    }

    /// Waits for what is under way.
    async fn settle(&mut self) -> Result<(), StoreError> {
        for work in [self.writing.take(), self.flushing.take()].into_iter().flatten() {
            joined(work).await?;
        }
        Ok(())
    }

    /// Makes the body complete and durable at its final place. It is deleted
    /// again with the returned guard, unless that is told to keep it. The envelope
    /// must be that of the chunks.
    pub(crate) async fn finish(mut self, envelope: &SignedEnvelope) -> Result<Box<dyn Placed>, StoreError> {
        // Where the disk fails from here on, it is of no use to go on with the file.
        self.unfinished.delete_when_dropped();
        let last = self.count.saturating_sub(1);
        let chunks_end = chunk_offset(last) + envelope.chunk_len(last);
        let trailer = trailer(envelope);
        let len = chunks_end + trailer.len() as u64;
        self.pieces.push(Piece {
            offset: chunks_end,
            bytes: trailer,
        });
        self.write_pieces().await?;
        self.settle().await?;
        let written = Written {
            file: self.file,
            unfinished: self.unfinished,
            len,
        };
        self.receiver.complete(written, envelope).await
    }

    fn is_kept(&self, index: u64, chunk: &Chunk) -> bool {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // What does not fit into memory has no such index.
        let name = usize::try_from(index).ok().and_then(|index| kept.get(index));
        name == Some(&chunk.name())
    }

    /// Puts the names of the newest chunks, all of one group, to the pieces.
    fn add_names(&mut self) {
        let names = mem::take(&mut self.names);
        if !names.is_empty() {
            let first = self.count - names.len() as u64 / NAME_LEN;
            self.pieces.push(Piece {
                offset: name_offset(first),
                bytes: names.into(),
            });
        }
    }

    async fn write_pieces(&mut self) -> Result<(), StoreError> {
        self.add_names();
        if let Some(writing) = self.writing.take() {
            joined(writing).await?;
            if self.is_streamed {
                self.receiver.advance(&self.file, self.submitted).await?;
            }
        }
        self.submitted = self.count;
        if self.unflushed >= BYTES_PER_FLUSH {
            self.begin_flush().await?;
        }
        let pieces = mem::take(&mut self.pieces);
        let bytes: u64 = pieces.iter().map(|piece| piece.bytes.len() as u64).sum();
        self.unflushed += bytes;
        let file = self.file.clone();
        let space = self.space.clone();
        self.writing = Some(spawn_blocking(move || {
            space.check(bytes)?;
            pieces
                .into_iter()
                .try_for_each(|piece| file.write_all_at(&piece.bytes, piece.offset))
                .map_err(StoreError::from_io)
        }));
        Ok(())
    }

    /// Begins to flush what has been written. One flush at a time: where the
    /// disk is slower than the writer, the writer waits here.
    async fn begin_flush(&mut self) -> Result<(), StoreError> {
        if let Some(flushing) = self.flushing.take() {
            joined(flushing).await?;
        }
        let file = self.file.clone();
        self.flushing = Some(spawn_blocking(move || {
            file.sync_data().map_err(StoreError::from_io)
        }));
        self.unflushed = 0;
        Ok(())
    }
}
