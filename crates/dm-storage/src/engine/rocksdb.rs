//! [RocksDB](https://rocksdb.org): an adapter for those who know how to run it.

use std::path::Path;

use bytes::Bytes;
use dm_core::ports::StoreError;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBRecoveryMode, Direction, Error,
    ErrorKind, IteratorMode, Options, WriteBatch, WriteOptions,
};

use super::{Change, Engine, Entry, Table};
use crate::error::failed;

/// Bytes of a table's write buffer before it is written out.
const WRITE_BUFFER_BYTES: usize = 8 << 20;
/// Bits of a Bloom filter per key: one lookup in a hundred is in vain.
const BLOOM_BITS: f64 = 10.0;

/// A RocksDB database with a column family for each table.
pub(crate) struct RocksEngine {
    database: DB,
}

impl RocksEngine {
    pub(crate) fn open(folder: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        let cache = Cache::new_lru_cache(usize::try_from(cache_bytes).unwrap_or(usize::MAX));
        let families =
            Table::ALL.map(|table| ColumnFamilyDescriptor::new(table.name(), table_options(&cache)));
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        // A record that a loss of power cut short at the very end of the log
        // was never acknowledged. Damage anywhere else refuses to open; the
        // default mode would silently drop everything after it.
        options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
        options.set_paranoid_checks(true);
        let database = DB::open_cf_descriptors(&options, folder, families).map_err(store_error)?;
        Ok(Self { database })
    }

    fn family(&self, table: Table) -> Result<&ColumnFamily, StoreError> {
        let family = self.database.cf_handle(table.name());
        family.ok_or_else(|| StoreError::Corrupt(format!("the column family `{}` is missing", table.name())))
    }
}

fn table_options(cache: &Cache) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_bloom_filter(BLOOM_BITS, false);
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options
}

impl Engine for RocksEngine {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let value = self
            .database
            .get_cf(self.family(table)?, key)
            .map_err(store_error)?;
        Ok(value.map(Bytes::from))
    }

    fn scan(
        &self,
        table: Table,
        start: &[u8],
        prefix: &[u8],
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let from = IteratorMode::From(start, Direction::Forward);
        let mut entries = Vec::new();
        for entry in self.database.iterator_cf(self.family(table)?, from).take(limit) {
            let (key, value) = entry.map_err(store_error)?;
            if !key.starts_with(prefix) {
                break;
            }
            entries.push((Bytes::from(key), Bytes::from(value)));
        }
        Ok(entries)
    }

    fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        for Change { table, key, value } in changes {
            let family = self.family(table)?;
            match value {
                Some(value) => batch.put_cf(family, key, value),
                None => batch.delete_cf(family, key),
            }
        }
        let mut durable = WriteOptions::default();
        durable.set_sync(true);
        self.database.write_opt(batch, &durable).map_err(store_error)
    }
}

fn store_error(error: Error) -> StoreError {
    match error.kind() {
        ErrorKind::Corruption => StoreError::Corrupt(format!("RocksDB's files ({error})")),
        // RocksDB says only in the text which error of the system it met.
        ErrorKind::IOError if error.as_ref().contains("No space left on device") => StoreError::Full,
        _ => failed(error),
    }
}
