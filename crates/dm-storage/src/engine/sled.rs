//! [sled](https://docs.rs/sled) 0.34: an adapter for those who have such data.
//!
//! **Not durable:** its flush does not wait for the disk (`sync_file_range` is
//! no fsync), and a loss of power loses what was acknowledged.

use std::path::Path;

use bytes::Bytes;
use dm_core::ports::StoreError;
use sled::{Batch, Db, Error};

use super::{Change, Engine, Entry, Table};
use crate::error::failed;

/// Least cache that sled works with.
const LEAST_CACHE: u64 = 1 << 20;

/// A sled database. Keys of all tables are in one tree behind a byte for the
/// table, because a batch is atomic within a tree only.
pub(crate) struct SledEngine {
    database: Db,
}

impl SledEngine {
    pub(crate) fn open(folder: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        let database = sled::Config::new()
            .path(folder)
            .cache_capacity(cache_bytes.max(LEAST_CACHE))
            .open()
            .map_err(store_error)?;
        Ok(Self { database })
    }
}

fn full_key(table: Table, key: &[u8]) -> Vec<u8> {
    [&[table as u8], key].concat()
}

impl Engine for SledEngine {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let value = self.database.get(full_key(table, key)).map_err(store_error)?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(
        &self,
        table: Table,
        start: &[u8],
        prefix: &[u8],
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let mut entries = Vec::new();
        for entry in self.database.range(full_key(table, start)..).take(limit) {
            let (key, value) = entry.map_err(store_error)?;
            match key.split_first() {
                Some((&of, key)) if of == table as u8 && key.starts_with(prefix) => {
                    entries.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(&value)));
                }
                _ => break,
            }
        }
        Ok(entries)
    }

    fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        for Change { table, key, value } in changes {
            match value {
                Some(value) => batch.insert(full_key(table, &key), &*value),
                None => batch.remove(full_key(table, &key)),
            }
        }
        self.database.apply_batch(batch).map_err(store_error)?;
        self.database.flush().map_err(store_error)?;
        Ok(())
    }

    fn shows_refused(&self) -> bool {
        true
    }
}

fn store_error(error: Error) -> StoreError {
    match error {
        Error::Io(error) => StoreError::from_io(error),
        Error::Corruption { .. } | Error::ReportableBug(_) => {
            StoreError::Corrupt(format!("sled's files ({error})"))
        }
        other => failed(other),
    }
}
