//! [fjall](https://docs.rs/fjall): a log-structured engine in Rust, the default.

mod manifest;

use std::{ops::Bound, path::Path};

use bytes::Bytes;
use dm_core::ports::StoreError;
use fjall::{
    CompressionType, Database, Error, Keyspace, KeyspaceCreateOptions, LsmError, PersistMode, Readable as _,
    config::{CompressionPolicy, PartitioningPolicy},
};

use super::{Change, Engine, Entry, Snapshot, Table};
use crate::{
    error::{StorageFault, failed},
    key_range::first_behind,
};

/// Bytes of a table's memtable before it is written out. fjall's own 64 MiB
/// would be most of what a node may use.
const MEMTABLE_BYTES: u64 = 4 << 20;
/// As above, for the chunks, which are most of what is written.
const CHUNKS_MEMTABLE_BYTES: u64 = 8 << 20;
/// Bytes of journals before the oldest memtables are written out; fjall's minimum.
const JOURNAL_BYTES: u64 = 64 << 20;
/// The first thread writes memtables out and never compacts: it puts compactions back for the
/// others, again and again while they are all busy (fjall 3.1, `worker_tick`). With two others
/// that is rare; with one, it took a core for as long as each compaction.
const WORKERS: usize = 3;
/// Files that fjall keeps open.
const OPEN_FILES: usize = 128;

/// A fjall database with a keyspace for each table.
pub(crate) struct FjallEngine {
    database: Database,
    tables: [Keyspace; 4],
}

impl FjallEngine {
    pub(crate) fn open(folder: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        manifest::check(folder)?;
        let database = Database::builder(folder)
            .cache_size(cache_bytes)
            .journal_compression(CompressionType::None)
            .max_journaling_size(JOURNAL_BYTES)
            .worker_threads(WORKERS)
            .max_cached_files(Some(OPEN_FILES))
            .open()
            .map_err(|error| opening_error(error, folder))?;
        let open = |table: Table| {
            database
                .keyspace(table.name(), || options(table))
                .map_err(|error| opening_error(error, folder))
        };
        let tables = [
            open(Table::Meta)?,
            open(Table::Records)?,
            open(Table::Chunks)?,
            open(Table::Namespaces)?,
        ];
        Ok(Self { database, tables })
    }

    fn keyspace(&self, table: Table) -> &Keyspace {
        &self.tables[table as usize]
    }
}

/// Index and filter of a file are split into blocks of their own. fjall splits them from the
/// third level on only; a read of a file above that takes in its whole index, a megabyte,
/// which the cache does not keep.
fn options(table: Table) -> KeyspaceCreateOptions {
    let options = KeyspaceCreateOptions::default()
        .max_memtable_size(MEMTABLE_BYTES)
        .index_block_partitioning_policy(PartitioningPolicy::all(true))
        .filter_block_partitioning_policy(PartitioningPolicy::all(true));
    match table {
        // Ciphertext does not get smaller.
        Table::Chunks => options
            .max_memtable_size(CHUNKS_MEMTABLE_BYTES)
            .data_block_compression_policy(CompressionPolicy::disabled()),
        Table::Meta | Table::Records | Table::Namespaces => options,
    }
}

impl Engine for FjallEngine {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let value = self.keyspace(table).get(key).map_err(store_error)?;
        Ok(value.map(Bytes::from))
    }

    fn scan(
        &self,
        table: Table,
        start: &[u8],
        prefix: &[u8],
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        entries(prefix, start, limit, |range| {
            self.keyspace(table).range::<&[u8], _>(range)
        })
    }

    /// Keeps no file and no lock of the database; that the versions of the moment are
    /// not collected is noted within the database.
    fn snapshot(&self) -> Result<Option<Snapshot>, StoreError> {
        Ok(Some(Snapshot::new(self.database.snapshot())))
    }

    fn scan_snapshot(
        &self,
        snapshot: &Snapshot,
        table: Table,
        start: &[u8],
        prefix: &[u8],
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let snapshot: &fjall::Snapshot = snapshot.get()?;
        entries(prefix, start, limit, |range| {
            snapshot.range::<&[u8], _>(self.keyspace(table), range)
        })
    }

    fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for Change { table, key, value } in changes {
            match value {
                Some(value) => batch.insert(self.keyspace(table), key, value),
                None => batch.remove(self.keyspace(table), key),
            }
        }
        batch.commit().map_err(store_error)
    }
}

type KeyRange<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// The range ends where the prefix does: behind it may be millions of entries that were deleted,
/// each of which the engine looks at to find the next one that was not.
fn entries(
    prefix: &[u8],
    start: &[u8],
    limit: usize,
    read: impl FnOnce(KeyRange<'_>) -> fjall::Iter,
) -> Result<Vec<Entry>, StoreError> {
    let end = first_behind(prefix);
    if end.as_deref().is_some_and(|end| end <= start) {
        return Ok(Vec::new());
    }
    let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    let mut entries = Vec::new();
    for guard in read((Bound::Included(start), end)).take(limit) {
        let (key, value) = guard.into_inner().map_err(store_error)?;
        // A range may begin before its prefix.
        if !key.starts_with(prefix) {
            break;
        }
        entries.push((key.into(), value.into()));
    }
    Ok(entries)
}

fn opening_error(error: Error, folder: &Path) -> StoreError {
    match error {
        Error::Locked => StorageFault::InUse(folder.to_owned()).into(),
        Error::Io(error) | Error::Storage(LsmError::Io(error)) if names_missing_part(&error) => {
            StoreError::Corrupt(format!("a file is missing or cut short ({error})"))
        }
        other => store_error(other),
    }
}

/// Whether an error of the medium says, at opening, that the files are not whole.
fn names_missing_part(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, InvalidInput, NotFound, UnexpectedEof};
    matches!(
        error.kind(),
        NotFound | UnexpectedEof | InvalidData | InvalidInput
    )
}

fn store_error(error: Error) -> StoreError {
    match error {
        Error::Io(error) | Error::Storage(LsmError::Io(error)) => StoreError::from_io(error),
        Error::Poisoned => StoreError::Unavailable("an earlier write failed".to_owned()),
        Error::JournalRecovery(error) => StoreError::Corrupt(format!("the journal is damaged ({error:?})")),
        Error::InvalidVersion(_) => StoreError::Corrupt(
            "the engine's files are of an unknown version or their version file is damaged".into(),
        ),
        Error::Storage(error) => StoreError::Corrupt(format!("a table is damaged ({error:?})")),
        Error::Decompress(_) | Error::InvalidTrailer | Error::InvalidTag(_) | Error::Unrecoverable => {
            StoreError::Corrupt(format!("the journal or a table is damaged ({error:?})"))
        }
        other => failed(other),
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use dm_core::hash::DataHash;

    use super::*;

    /// Entries of the table, in commits of a thousand.
    const COMMITS: u32 = 200;
    const READS: u32 = 100;

    fn key(number: u32) -> Bytes {
        Bytes::copy_from_slice(DataHash::of(&number.to_be_bytes()).as_bytes())
    }

    /// Bytes that this thread has read from files.
    fn bytes_read() -> u64 {
        let counters = std::fs::read_to_string("/proc/thread-self/io").unwrap();
        let line = counters.lines().find_map(|line| line.strip_prefix("rchar: "));
        line.unwrap().parse().unwrap()
    }

    #[test]
    fn a_read_takes_a_few_blocks_however_long_the_table_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fjall");
        let engine = FjallEngine::open(&path, 1 << 20).unwrap();
        for commit in 0..COMMITS {
            let put = |number| Change {
                table: Table::Records,
                key: key(1000 * commit + number),
                value: Some(vec![0x5a; 300].into()),
            };
            engine.commit((0..1000).map(put).collect()).unwrap();
        }
        drop(engine);
        let engine = FjallEngine::open(&path, 0).unwrap();
        let before = bytes_read();
        for read in 0..READS {
            let number = read * (1000 * COMMITS / READS);
            assert!(engine.get(Table::Records, &key(number)).unwrap().is_some());
        }
        let each = (bytes_read() - before) / u64::from(READS);
        assert!(each < 64 << 10, "{each} bytes for each read");
    }
}
