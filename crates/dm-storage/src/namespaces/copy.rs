//! Copies of key-value namespaces: a header, then for each entry the lengths of its
//! key and its value (four bytes each, big-endian) and both. Keys are those of the
//! engine, which begin with the length and the name of their namespace.

use std::{
    fs::File,
    io::{BufReader, BufWriter, ErrorKind, Read, Write},
    path::Path,
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use dm_core::ports::{NamespaceCopy, NamespaceSnapshot, StoreError};

use super::key_prefix;
use crate::{
    blocking::blocking,
    commits::{committer::Need, transaction::Transaction},
    engine::{Engine, Entry, Snapshot, Table, scan_prefix, scan_prefix_of_snapshot},
    objects::LocalObjects,
};

/// First bytes of a copy: what it is, and its format.
const HEADER: &[u8; 8] = b"dm-kv\0\0\x01";
/// Entries that are read or written at a time.
const PAGE: usize = 1024;
/// Bytes of values after which a page ends.
const PAGE_BYTES: usize = 8 << 20;
/// Longest key or value that is read.
const MAX_LENGTH: u32 = 1 << 30;

#[async_trait]
impl NamespaceCopy for LocalObjects {
    async fn snapshot(&self, names: &[&str]) -> Result<Box<dyn NamespaceSnapshot>, StoreError> {
        let engine = self.0.engine.clone();
        let prefixes: Vec<Vec<u8>> = names.iter().map(|name| key_prefix(name)).collect();
        // On the thread that commits, so that the moment is one between two commits.
        let taken = move |_: &mut Transaction<'_>| Taken::now(engine.clone(), prefixes.clone());
        let taken = self.0.committer.run(Need::Nothing, taken).await?;
        Ok(Box::new(taken))
    }

    async fn take_from(&self, file: &Path) -> Result<(), StoreError> {
        let file = file.to_owned();
        let mut reader = blocking(move || Copy::open(&file)).await?;
        loop {
            let (page, rest) = blocking(move || Ok((reader.page()?, reader))).await?;
            if page.is_empty() {
                return Ok(());
            }
            reader = rest;
            self.0
                .committer
                .run(Need::Space, move |transaction| {
                    for (key, value) in &page {
                        transaction.put(Table::Namespaces, key.clone(), value.clone());
                    }
                    Ok(())
                })
                .await?;
        }
    }
}

/// Namespaces as they were at one moment.
enum Taken {
    /// The engine keeps the moment.
    Kept {
        engine: Arc<dyn Engine>,
        snapshot: Snapshot,
        prefixes: Vec<Vec<u8>>,
    },
    /// All entries, of an engine that cannot.
    Read(Vec<Entry>),
}

impl Taken {
    fn now(engine: Arc<dyn Engine>, prefixes: Vec<Vec<u8>>) -> Result<Self, StoreError> {
        if let Some(snapshot) = engine.snapshot()? {
            return Ok(Self::Kept {
                engine,
                snapshot,
                prefixes,
            });
        }
        let mut entries = Vec::new();
        let scan = |prefix: &[u8], after: Option<&[u8]>| {
            scan_prefix(&*engine, Table::Namespaces, prefix, after, PAGE)
        };
        each_page(&prefixes, scan, |page| {
            entries.extend_from_slice(page);
            Ok(())
        })?;
        Ok(Self::Read(entries))
    }

    fn write(&self, file: &Path) -> Result<(), StoreError> {
        let mut out = BufWriter::new(File::create(file).map_err(StoreError::from_io)?);
        out.write_all(HEADER).map_err(StoreError::from_io)?;
        match self {
            Self::Read(entries) => write_entries(&mut out, entries)?,
            Self::Kept {
                engine,
                snapshot,
                prefixes,
            } => {
                let scan = |prefix: &[u8], after: Option<&[u8]>| {
                    scan_prefix_of_snapshot(&**engine, snapshot, Table::Namespaces, prefix, after, PAGE)
                };
                each_page(prefixes, scan, |page| write_entries(&mut out, page))?;
            }
        }
        out.flush().map_err(StoreError::from_io)
    }
}

#[async_trait]
impl NamespaceSnapshot for Taken {
    async fn write_to(self: Box<Self>, file: &Path) -> Result<(), StoreError> {
        let file = file.to_owned();
        blocking(move || self.write(&file)).await
    }
}

/// Does something with all entries that begin with any of the prefixes, page by page.
fn each_page(
    prefixes: &[Vec<u8>],
    scan: impl Fn(&[u8], Option<&[u8]>) -> Result<Vec<Entry>, StoreError>,
    mut handle: impl FnMut(&[Entry]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    for prefix in prefixes {
        let mut after: Option<Bytes> = None;
        loop {
            let page = scan(prefix, after.as_deref())?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            handle(&page)?;
        }
    }
    Ok(())
}

fn write_entries(out: &mut impl Write, entries: &[Entry]) -> Result<(), StoreError> {
    for part in entries.iter().flat_map(|(key, value)| [key, value]) {
        let length = part.len() as u32;
        out.write_all(&length.to_be_bytes())
            .and_then(|()| out.write_all(part))
            .map_err(StoreError::from_io)?;
    }
    Ok(())
}

/// A copy that is read.
struct Copy(BufReader<File>);

impl Copy {
    fn open(file: &Path) -> Result<Self, StoreError> {
        let mut reader = BufReader::new(File::open(file).map_err(StoreError::from_io)?);
        let mut header = [0; HEADER.len()];
        reader.read_exact(&mut header).map_err(cut_short)?;
        if header != *HEADER {
            return Err(StoreError::Corrupt("this is no copy of namespaces".to_owned()));
        }
        Ok(Self(reader))
    }

    /// The next entries; none at the end.
    fn page(&mut self) -> Result<Vec<Entry>, StoreError> {
        let mut entries = Vec::new();
        let mut bytes = 0;
        while entries.len() < PAGE && bytes < PAGE_BYTES {
            let Some(key) = self.part()? else {
                break;
            };
            let value = self
                .part()?
                .ok_or_else(|| cut_short(ErrorKind::UnexpectedEof.into()))?;
            bytes += key.len() + value.len();
            entries.push((key, value));
        }
        Ok(entries)
    }

    /// A key or a value; nothing at the end of the file.
    fn part(&mut self) -> Result<Option<Bytes>, StoreError> {
        let mut length = Vec::with_capacity(4);
        let read = self.0.by_ref().take(4).read_to_end(&mut length);
        read.map_err(StoreError::from_io)?;
        let length = match <[u8; 4]>::try_from(length.as_slice()) {
            Ok(length) => u32::from_be_bytes(length),
            Err(_) if length.is_empty() => return Ok(None),
            Err(_) => return Err(cut_short(ErrorKind::UnexpectedEof.into())),
        };
        if length > MAX_LENGTH {
            return Err(StoreError::Corrupt("an entry is too long".to_owned()));
        }
        let mut part = Vec::new();
        let read = self.0.by_ref().take(length.into()).read_to_end(&mut part);
        if read.map_err(StoreError::from_io)? as u64 != u64::from(length) {
            return Err(cut_short(ErrorKind::UnexpectedEof.into()));
        }
        Ok(Some(part.into()))
    }
}

fn cut_short(error: std::io::Error) -> StoreError {
    match error.kind() {
        ErrorKind::UnexpectedEof => StoreError::Corrupt("the copy of namespaces is cut short".to_owned()),
        _ => StoreError::from_io(error),
    }
}

#[cfg(test)]
mod tests {
    use dm_core::{config::StorageConfig, ports::WriteBatch};

    use super::*;
    use crate::Storage;

    fn open(dir: &Path) -> Storage {
        Storage::open(dir, &StorageConfig::default()).unwrap()
    }

    async fn copy(storage: &Storage, file: &Path, names: &[&str]) {
        let snapshot = storage.namespaces().snapshot(names).await.unwrap();
        snapshot.write_to(file).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_written_after_a_snapshot_is_not_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (open(&folder.path().join("a")), open(&folder.path().join("b")));
        let chain = first.namespace("chain");
        let mut batch = WriteBatch::new();
        batch.put("kept", "old");
        batch.put("deleted", "old");
        chain.commit(batch).await.unwrap();
        let snapshot = first.namespaces().snapshot(&["chain"]).await.unwrap();

        // Nobody waits for the copy.
        let mut batch = WriteBatch::new();
        batch.put("kept", "new");
        batch.put("added", "new");
        batch.delete("deleted");
        chain.commit(batch).await.unwrap();

        let file = folder.path().join("copy");
        snapshot.write_to(&file).await.unwrap();
        second.namespaces().take_from(&file).await.unwrap();
        let copied = second.namespace("chain").scan(b"", None, 9).await.unwrap();
        assert_eq!(
            copied,
            [("deleted", "old"), ("kept", "old")].map(|(k, v)| (k.into(), v.into()))
        );
    }

    #[tokio::test]
    async fn the_named_namespaces_come_back_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (open(&folder.path().join("a")), open(&folder.path().join("b")));
        for name in ["chain", "plugins", "transactions"] {
            let mut batch = WriteBatch::new();
            for n in 0..2000_u32 {
                batch.put(n.to_be_bytes().to_vec(), format!("{name} {n}"));
            }
            first.namespace(name).commit(batch).await.unwrap();
        }
        let file = folder.path().join("copy");
        copy(&first, &file, &["chain", "plugins"]).await;
        second.namespaces().take_from(&file).await.unwrap();
        for name in ["chain", "plugins"] {
            let expected = first.namespace(name).scan(b"", None, 3000).await.unwrap();
            assert_eq!(expected.len(), 2000);
            assert_eq!(
                second.namespace(name).scan(b"", None, 3000).await.unwrap(),
                expected
            );
        }
        let left_out = second.namespace("transactions").scan(b"", None, 1).await.unwrap();
        assert!(left_out.is_empty());
    }

    #[tokio::test]
    async fn what_is_cut_short_or_no_copy_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let storage = open(&folder.path().join("a"));
        let mut batch = WriteBatch::new();
        batch.put("key", "value");
        storage.namespace("chain").commit(batch).await.unwrap();
        let file = folder.path().join("copy");
        copy(&storage, &file, &["chain"]).await;
        let whole = std::fs::read(&file).unwrap();
        for length in (0..whole.len()).filter(|length| *length != HEADER.len()) {
            std::fs::write(&file, &whole[..length]).unwrap();
            let error = storage.namespaces().take_from(&file).await.unwrap_err();
            assert!(matches!(error, StoreError::Corrupt(_)), "{length}: {error}");
        }
        std::fs::write(&file, b"something else entirely").unwrap();
        assert!(storage.namespaces().take_from(&file).await.is_err());
    }
}
