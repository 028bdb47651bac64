//! Makes the archive of a folder, piece by piece.

use std::{
    fs::File,
    io::{self, BufWriter, Read, Write},
    sync::Arc,
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use dm_core::hash::{DataHash, DataHasher};
use futures::{Stream, stream};
use tar::{Builder, EntryType, Header};
use tokio::sync::{mpsc, oneshot};

use super::{
    Folder,
    contents::{Entry, FileState, open_file},
};

/// Bytes that are handed on at a time.
const PIECE: usize = 256 * 1024;
/// Pieces that wait for the network.
const PIECES: usize = 4;
const BLOCK: u64 = 512;
/// Paths that are longer stand in an entry of their own.
const SHORT_PATH: usize = 100;
/// The time of all files, in seconds since the Unix epoch: 1980-01-01, the first one that
/// every kind of archive can have.
const MODIFIED: u64 = 315_532_800;

impl Folder {
    /// Bytes of the archive.
    pub(crate) fn archive_len(&self) -> u64 {
        let entries = self.entries.iter();
        // Two empty blocks end it.
        entries.map(entry_len).sum::<u64>() + 2 * BLOCK
    }

    /// Writes the archive.
    ///
    /// # Errors
    /// Those of `target`, and where the folder is not as it was looked at.
    pub(crate) fn pack(&self, target: impl Write) -> anyhow::Result<()> {
        let mut archive = Builder::new(target);
        for entry in &self.entries {
            self.append(&mut archive, entry)
                .with_context(|| format!("{} cannot be shared", self.root.join(&entry.path).display()))?;
        }
        archive.into_inner()?.flush()?;
        Ok(())
    }

    fn append(&self, archive: &mut Builder<impl Write>, entry: &Entry) -> anyhow::Result<()> {
        let mut header = Header::new_gnu();
        header.set_mtime(MODIFIED);
        header.set_uid(0);
        header.set_gid(0);
        let Some(state) = &entry.file else {
            header.set_entry_type(EntryType::Directory);
            header.set_mode(0o755);
            header.set_size(0);
            archive.append_data(&mut header, folder_path(entry), io::empty())?;
            return Ok(());
        };
        header.set_entry_type(EntryType::Regular);
        header.set_mode(if state.is_executable { 0o755 } else { 0o644 });
        header.set_size(state.size);
        let file = open_file(&self.root.join(&entry.path))?;
        ensure_unchanged(&file, state)?;
        let mut file = AsItWas {
            left: state.size,
            file,
            state,
        };
        archive.append_data(&mut header, &entry.path, &mut file)?;
        Ok(())
    }

    /// The data hash of the archive.
    ///
    /// # Errors
    /// As [`Folder::pack`].
    pub(crate) async fn hash(self: Arc<Self>) -> anyhow::Result<DataHash> {
        let hash = move || {
            let mut hashing = Hashing(DataHasher::new());
            self.pack(BufWriter::with_capacity(PIECE, &mut hashing))?;
            Ok(hashing.0.finish())
        };
        tokio::task::spawn_blocking(hash).await?
    }

    /// The archive in pieces, made as they are taken. Where it cannot be made, the stream
    /// ends with an error, whose reason is also sent apart: whoever takes the stream may
    /// not pass it on.
    pub(crate) fn stream(
        self: Arc<Self>,
    ) -> (
        impl Stream<Item = io::Result<Bytes>> + Send + 'static,
        oneshot::Receiver<anyhow::Error>,
    ) {
        let (sender, receiver) = mpsc::channel(PIECES);
        let (tell_fault, fault) = oneshot::channel();
        tokio::task::spawn_blocking(move || {
            let pieces = Pieces(sender.clone());
            let Err(error) = self.pack(BufWriter::with_capacity(PIECE, pieces)) else {
                return;
            };
            // If nobody takes the pieces any more, that is no fault of the folder.
            if !sender.is_closed() {
                let broken = io::Error::other(error.to_string());
                // Before the stream can end; who listens no more need not know.
                let _ = tell_fault.send(error);
                let _ = sender.blocking_send(Err(broken));
            }
        });
        let pieces = stream::unfold(receiver, async |mut receiver| {
            Some((receiver.recv().await?, receiver))
        });
        (pieces, fault)
    }
}

/// Folders have a slash behind their path, by which older programs know them.
fn folder_path(entry: &Entry) -> String {
    format!("{}/", entry.path)
}

fn entry_len(entry: &Entry) -> u64 {
    let path_len = match entry.file {
        Some(_) => entry.path.len(),
        None => folder_path(entry).len(),
    };
    let long_path = match path_len > SHORT_PATH {
        // With a zero byte behind it.
        true => BLOCK + (path_len as u64 + 1).next_multiple_of(BLOCK),
        false => 0,
    };
    let size = entry.file.as_ref().map_or(0, |file| file.size);
    long_path + BLOCK + size.next_multiple_of(BLOCK)
}

fn ensure_unchanged(file: &File, state: &FileState) -> anyhow::Result<()> {
    ensure!(
        FileState::of(&file.metadata()?) == *state,
        "it was changed meanwhile"
    );
    Ok(())
}

/// Reads a file that must stay as it was, until its end.
struct AsItWas<'a> {
    file: File,
    state: &'a FileState,
    left: u64,
}

impl Read for AsItWas<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = (&mut self.file).take(self.left).read(buffer)?;
        self.left -= read as u64;
        if read == 0 && !buffer.is_empty() {
            ensure_unchanged(&self.file, self.state).map_err(io::Error::other)?;
            if self.left > 0 {
                return Err(io::Error::other("it ends before its end"));
            }
        }
        Ok(read)
    }
}

struct Hashing(DataHasher);

impl Write for &mut Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hands on what is written.
struct Pieces(mpsc::Sender<io::Result<Bytes>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .blocking_send(Ok(Bytes::copy_from_slice(bytes)))
            .map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
