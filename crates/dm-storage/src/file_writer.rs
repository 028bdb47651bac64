//! Writes the file of a large object, with a bounded number of chunks in memory.

use std::{
    fs::{self, File},
    io, mem,
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::Arc,
};

use bytes::Bytes;
use dm_core::{
    envelope::{Chunk, SignedEnvelope},
    ports::StoreError,
};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::{
    blocking::joined,
    files::{Files, trailer},
    layout::{GROUP_CHUNKS, chunk_offset, name_offset},
    record::BodyId,
    space::Space,
};

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
    count: u64,
    names: Vec<u8>,
    pieces: Vec<Piece>,
    writing: Option<JoinHandle<Result<(), StoreError>>>,
    flushing: Option<JoinHandle<Result<(), StoreError>>>,
    unflushed: u64,
}

impl FileWriter {
    pub(crate) async fn create(files: Files, space: Space, body: BodyId) -> Result<Self, StoreError> {
        let path = files.incoming_path(body);
        let (file, unfinished) = joined(spawn_blocking(move || {
            let file = File::create_new(&path).map_err(StoreError::from_io)?;
            Ok((Arc::new(file), Unfinished::at(path)))
        }))
        .await?;
        Ok(Self {
            files,
            space,
            body,
            file,
            unfinished,
            count: 0,
            names: Vec::new(),
            pieces: Vec::new(),
            writing: None,
            flushing: None,
            unflushed: 0,
        })
    }

    pub(crate) async fn append(&mut self, chunk: Chunk) -> Result<(), StoreError> {
        self.names.extend_from_slice(chunk.name().as_bytes());
        self.pieces.push(Piece {
            offset: chunk_offset(self.count),
            bytes: chunk.bytes().clone(),
        });
        self.count += 1;
        if self.count.is_multiple_of(GROUP_CHUNKS) {
            self.end_group();
        }
        if self.pieces.len() >= CHUNKS_PER_WRITE {
            self.write_pieces().await?;
        }
        Ok(())
    }

    /// Makes the file complete and durable at its final place. It is deleted
    /// again with the returned guard, unless that is told to keep it. The envelope
    /// must be that of the chunks.
    pub(crate) async fn finish(mut self, envelope: &SignedEnvelope) -> Result<Unfinished, StoreError> {
        let last = self.count.saturating_sub(1);
        let end = chunk_offset(last) + envelope.chunk_len(last);
        self.end_group();
        self.pieces.push(Piece {
            offset: end,
            bytes: trailer(envelope),
        });
        self.write_pieces().await?;
        if let Some(writing) = self.writing.take() {
            joined(writing).await?;
        }
        if let Some(flushing) = self.flushing.take() {
            joined(flushing).await?;
        }
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
                file.sync_data()?;
                unfinished.move_to(path)?;
                files.sync()
            };
            publish().map_err(StoreError::from_io)?;
            Ok(unfinished)
        }))
        .await
    }

    /// Puts the names of the present group, where it has any, to the pieces.
    fn end_group(&mut self) {
        let names = mem::take(&mut self.names);
        if let Some(last) = self.count.checked_sub(1)
            && !names.is_empty()
        {
            self.pieces.push(Piece {
                offset: name_offset(last - last % GROUP_CHUNKS),
                bytes: names.into(),
            });
        }
    }

    async fn write_pieces(&mut self) -> Result<(), StoreError> {
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

/// A file that is deleted when nothing came of it.
pub(crate) struct Unfinished {
    path: Option<PathBuf>,
}

impl Unfinished {
    fn at(path: PathBuf) -> Self {
        Self { path: Some(path) }
    }

    fn move_to(&mut self, path: PathBuf) -> io::Result<()> {
        if let Some(from) = &self.path {
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

impl Drop for Unfinished {
    fn drop(&mut self) {
        let Some(path) = self.path.take() else {
            return;
        };
        let remove = move || {
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
