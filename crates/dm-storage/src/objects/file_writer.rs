//! Writes the file of a large object, with a bounded number of chunks in memory.

use std::{
    fs::{self, File},
    io, mem,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
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
    files::{Files, sync_folder, trailer},
    layout::{GROUP_CHUNKS, NAME_LEN, chunk_offset, name_offset},
    partial::Claim,
    record::BodyId,
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
    files: Files,
    space: Space,
    body: BodyId,
    file: Arc<File>,
    unfinished: Unfinished,
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
    pub(crate) async fn create(files: Files, space: Space, body: BodyId) -> Result<Self, StoreError> {
        let path = files.incoming_path(body);
        let (file, unfinished) = joined(spawn_blocking(move || {
            let file = File::create_new(&path).map_err(StoreError::from_io)?;
            Ok((file, Unfinished::deleted_at(path)))
        }))
        .await?;
        Ok(Self::new(files, space, body, Arc::new(file), unfinished))
    }

    /// A file that stays where it is when the writer is dropped before its end.
    /// The other file is for reading what it has already.
    pub(crate) async fn resume(
        files: Files,
        space: Space,
        body: BodyId,
        claim: Claim,
    ) -> Result<(Self, Arc<File>), StoreError> {
        let partials = files.partials.clone();
        let (file, unfinished) = joined(spawn_blocking(move || {
            let open = || {
                partials.prune()?;
                let mut options = File::options();
                options.read(true).write(true).create(true).truncate(false);
                options.open(claim.path())
            };
            let file = open().map_err(StoreError::from_io)?;
            Ok((file, Unfinished::kept_at(claim)))
        }))
        .await?;
        let file = Arc::new(file);
        let writer = Self::new(files, space, body, file.clone(), unfinished);
        Ok((writer, file))
    }

    /// A file that has its first `already` chunks and stays where it is, whatever comes of
    /// the writer. A finished object gets its file under another name.
    pub(crate) async fn go_on(
        files: Files,
        space: Space,
        body: BodyId,
        path: PathBuf,
        already: u64,
    ) -> Result<Self, StoreError> {
        let folder = files.uploads().to_owned();
        let (file, unfinished) = joined(spawn_blocking(move || {
            let open = || {
                let mut options = File::options();
                options.read(true).write(true).create(true).truncate(false);
                let file = options.open(&path)?;
                sync_folder(&folder)?;
                Ok(file)
            };
            let file = open().map_err(StoreError::from_io)?;
            Ok((file, Unfinished::linked_from(path)))
        }))
        .await?;
        let writer = Self::new(files, space, body, Arc::new(file), unfinished);
        Ok(Self { already, ..writer })
    }

    fn new(files: Files, space: Space, body: BodyId, file: Arc<File>, unfinished: Unfinished) -> Self {
        Self {
            files,
            space,
            body,
            file,
            unfinished,
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

    /// Makes the file complete and durable at its final place. It is deleted
    /// again with the returned guard, unless that is told to keep it. The envelope
    /// must be that of the chunks.
    pub(crate) async fn finish(mut self, envelope: &SignedEnvelope) -> Result<Unfinished, StoreError> {
        // Whatever goes wrong from here on, it is of no use to go on with it.
        self.unfinished.delete_when_dropped();
        let last = self.count.saturating_sub(1);
        let chunks_end = chunk_offset(last) + envelope.chunk_len(last);
        let trailer = trailer(envelope);
        let end = chunks_end + trailer.len() as u64;
        self.pieces.push(Piece {
            offset: chunks_end,
            bytes: trailer,
        });
        self.write_pieces().await?;
        self.settle().await?;
        let Self {
            files,
            file,
            body,
            mut unfinished,
            ..
        } = self;
        let path = files.path(&envelope.id, body);
        joined(spawn_blocking(move || {
            let publish = || {
                // An earlier writer may have come to a longer trailer.
                file.set_len(end)?;
                file.sync_data()?;
                unfinished.move_to(path)?;
                files.sync()
            };
            publish().map_err(StoreError::from_io)?;
            Ok(unfinished)
        }))
        .await
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
        }
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

/// A file that nothing may come of: then it is deleted, or stays to be gone on
/// with.
pub(crate) struct Unfinished {
    /// What is deleted.
    path: Option<PathBuf>,
    claim: Option<Claim>,
    /// What stays in any case.
    source: Option<PathBuf>,
}

impl Unfinished {
    fn deleted_at(path: PathBuf) -> Self {
        Self {
            path: Some(path),
            claim: None,
            source: None,
        }
    }

    fn kept_at(claim: Claim) -> Self {
        Self {
            path: None,
            claim: Some(claim),
            source: None,
        }
    }

    fn linked_from(path: PathBuf) -> Self {
        Self {
            path: None,
            claim: None,
            source: Some(path),
        }
    }

    fn delete_when_dropped(&mut self) {
        if let Some(claim) = &self.claim {
            self.path = Some(claim.path().to_owned());
        }
    }

    fn move_to(&mut self, path: PathBuf) -> io::Result<()> {
        if let Some(source) = &self.source {
            link_or_copy(source, &path)?;
            self.path = Some(path);
        } else if let Some(from) = &self.path {
            fs::rename(from, &path)?;
            self.path = Some(path);
        }
        Ok(())
    }

    /// Leaves the file where it is.
    pub(crate) fn keep(mut self) {
        self.path = None;
    }
}

/// Gives a file a second name; where the file system knows no such thing, a copy.
fn link_or_copy(source: &Path, target: &Path) -> io::Result<()> {
    if fs::hard_link(source, target).is_ok() {
        return Ok(());
    }
    let copied = fs::copy(source, target).and_then(|_| File::open(target)?.sync_all());
    if copied.is_err() {
        // That it is there is told by no record: the next start deletes it, too.
        let _ = fs::remove_file(target);
    }
    copied
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let Some(path) = self.path.take() else {
            return;
        };
        // Nobody takes the file up again before it is gone.
        let claim = self.claim.take();
        let remove = move || {
            let _claim = claim;
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(%error, path = %path.display(), "an unfinished file stays until the next start");
            }
        };
        // Deleting a large file takes long, and this may be an async thread.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}
