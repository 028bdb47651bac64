//! What the store needs from a key-value engine: four ordered tables and atomic, durable
//! commits. Everything else is written once, over this. Engines are embedded, but for one that
//! several instances share.

pub(crate) mod fjall;
mod journal;
mod panics;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
mod reopening;
#[cfg(feature = "rocksdb")]
pub(crate) mod rocksdb;
#[cfg(feature = "sled")]
pub(crate) mod sled;

use std::{any::Any, borrow::Cow, path::Path, sync::Arc};

use bytes::Bytes;
use dm_core::{
    clock,
    config::{ObjectEngine, StorageConfig},
    lease::Epoch,
    ports::StoreError,
};

use self::reopening::Reopening;
use crate::{
    disk::reserve::Reserve,
    error::{StorageFault, failed},
};

/// Bytes that are kept for what frees room on a disk that is full.
const RESERVE: u64 = 24 << 20;

/// An ordered table of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Table {
    /// Counters of the store itself.
    Meta,
    /// Object id → [`crate::objects::record::Record`].
    Records,
    /// Body id and chunk index → chunk, for small objects.
    Chunks,
    /// Entries of all key-value namespaces.
    Namespaces,
}

impl Table {
    /// All tables in the order of their discriminants.
    pub(crate) const ALL: [Self; 4] = [Self::Meta, Self::Records, Self::Chunks, Self::Namespaces];

    /// The name under which an engine keeps the table.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Records => "records",
            Self::Chunks => "chunks",
            Self::Namespaces => "namespaces",
        }
    }
}

/// One entry that is set, or deleted where the value is `None`.
pub(crate) struct Change {
    pub(crate) table: Table,
    pub(crate) key: Bytes,
    pub(crate) value: Option<Bytes>,
}

impl Change {
    /// The same change; its bytes are shared.
    pub(crate) fn clone_shallow(&self) -> Self {
        Self {
            table: self.table,
            key: self.key.clone(),
            value: self.value.clone(),
        }
    }
}

/// A key and its value.
pub(crate) type Entry = (Bytes, Bytes);

/// The tables as they were at one moment. What it is belongs to the engine that made it.
pub(crate) struct Snapshot(Box<dyn Any + Send + Sync>);

impl Snapshot {
    fn new(of_engine: impl Any + Send + Sync) -> Self {
        Self(Box::new(of_engine))
    }

    /// What an engine has put into it.
    ///
    /// # Errors
    /// Where another kind of engine made it.
    fn get<T: 'static>(&self) -> Result<&T, StoreError> {
        let found = self.0.downcast_ref();
        found.ok_or_else(|| failed("a snapshot is of another engine"))
    }
}

/// What a transaction reads.
pub(crate) trait Reads {
    /// The value of a key.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// Reads these keys together, where that is faster than one by one.
    fn expect(&self, _keys: &[(Table, Bytes)]) -> Result<(), StoreError> {
        Ok(())
    }

    /// Milliseconds since the Unix epoch, by the one clock of all who write.
    fn now_ms(&self) -> Result<u64, StoreError>;

    /// Whether the lease of the leader is of that epoch and has not ended; it stays so until the
    /// end of the transaction. Where nobody else has the tables there is no lease.
    fn is_led_in(&self, _epoch: Epoch) -> Result<bool, StoreError> {
        Ok(true)
    }
}

/// What is committed in an engine.
pub(crate) struct Committed<'a, E: ?Sized>(pub(crate) &'a E);

impl<E: Engine + ?Sized> Reads for Committed<'_, E> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.0.get(table, key)
    }

    fn now_ms(&self) -> Result<u64, StoreError> {
        Ok(clock::now_ms())
    }
}

/// What a transaction does: it reads, and says what is to be changed.
pub(crate) type Work<'a> = dyn FnMut(&dyn Reads) -> Result<Vec<Change>, StoreError> + 'a;

/// An engine. All calls block.
pub(crate) trait Engine: Send + Sync {
    /// The value of a key.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// At most `limit` entries from the first key that is not below `start`, in
    /// the order of the keys, as long as they begin with `prefix`.
    fn scan(&self, table: Table, start: &[u8], prefix: &[u8], limit: usize)
    -> Result<Vec<Entry>, StoreError>;

    /// The tables as they are now, for [`Engine::scan_snapshot`]; `None` where the engine
    /// cannot keep that while it takes writes.
    fn snapshot(&self) -> Result<Option<Snapshot>, StoreError> {
        Ok(None)
    }

    /// As [`Engine::scan`], in a snapshot of this engine.
    fn scan_snapshot(
        &self,
        _snapshot: &Snapshot,
        _table: Table,
        _start: &[u8],
        _prefix: &[u8],
        _limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        Err(failed("this engine makes no snapshots"))
    }

    /// Applies all changes or none; durable when it returns. Called by one
    /// thread only, with at most one change to a key. An engine that takes no
    /// more writes after one that failed says [`StoreError::Unavailable`].
    fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError>;

    /// Commits the changes that `work` makes of the tables as nobody else changes them
    /// meanwhile. Called by one thread at a time. Where others write as well, `work` may be
    /// run again; only its last changes count.
    fn transact(&self, work: &mut Work<'_>) -> Result<(), StoreError> {
        let changes = work(&Committed(self))?;
        if changes.is_empty() {
            return Ok(());
        }
        self.commit(changes)
    }

    /// Whether other processes write to the tables as well.
    fn is_shared(&self) -> bool {
        false
    }

    /// Whether readers see the changes of a commit that failed.
    fn shows_refused(&self) -> bool {
        false
    }

    /// Gives room free that was kept for what frees room; whether there was any.
    fn make_room(&self) -> bool {
        false
    }

    /// Keeps such room again, where there is some.
    fn keep_room(&self) {}

    /// Bytes of such room.
    fn room_kept(&self) -> u64 {
        0
    }
}

/// At most `limit` entries whose key begins with `prefix` and is greater than `after`.
pub(crate) fn scan_prefix(
    engine: &dyn Engine,
    table: Table,
    prefix: &[u8],
    after: Option<&[u8]>,
    limit: usize,
) -> Result<Vec<Entry>, StoreError> {
    engine.scan(table, &first_after(prefix, after), prefix, limit)
}

/// As [`scan_prefix`], in a snapshot of the engine.
pub(crate) fn scan_prefix_of_snapshot(
    engine: &dyn Engine,
    snapshot: &Snapshot,
    table: Table,
    prefix: &[u8],
    after: Option<&[u8]>,
    limit: usize,
) -> Result<Vec<Entry>, StoreError> {
    engine.scan_snapshot(snapshot, table, &first_after(prefix, after), prefix, limit)
}

/// The least key with a prefix that is greater than `after`.
fn first_after<'a>(prefix: &'a [u8], after: Option<&[u8]>) -> Cow<'a, [u8]> {
    match after {
        // That is `after` with a zero byte behind it.
        Some(after) if after >= prefix => [after, &[0]].concat().into(),
        _ => prefix.into(),
    }
}

/// The name of an engine in the configuration, and of its folder.
pub(crate) const fn engine_name(engine: ObjectEngine) -> &'static str {
    match engine {
        ObjectEngine::Fjall => "fjall",
        ObjectEngine::Sled => "sled",
        ObjectEngine::Rocksdb => "rocksdb",
    }
}

/// Opens the configured engine in its folder below `dir`.
pub(crate) fn open(
    dir: &Path,
    config: &StorageConfig,
    cache_bytes: u64,
) -> Result<Arc<dyn Engine>, StoreError> {
    let (engine, wanted) = (config.engine, engine_name(config.engine));
    refuse_other_engines(dir, engine)?;
    let folder = dir.join(wanted);
    let opened = folder.clone();
    let open = move || {
        panics::as_damage(|| open_in(&opened, engine, cache_bytes))
            .map_err(|error| with_way_out(error, &opened))
    };
    let reserve = Reserve::at(dir.join("reserve"), RESERVE);
    Ok(Arc::new(Reopening::open(folder, reserve, Box::new(open))?))
}

fn open_in(folder: &Path, engine: ObjectEngine, cache_bytes: u64) -> Result<Box<dyn Engine>, StoreError> {
    match engine {
        ObjectEngine::Fjall => Ok(Box::new(fjall::FjallEngine::open(folder, cache_bytes)?)),
        #[cfg(feature = "sled")]
        ObjectEngine::Sled => Ok(Box::new(sled::SledEngine::open(folder, cache_bytes)?)),
        #[cfg(feature = "rocksdb")]
        ObjectEngine::Rocksdb => Ok(Box::new(rocksdb::RocksEngine::open(folder, cache_bytes)?)),
        #[cfg(not(all(feature = "sled", feature = "rocksdb")))]
        other => Err(StorageFault::EngineNotBuilt(engine_name(other)).into()),
    }
}

const ENGINES: [ObjectEngine; 3] = [ObjectEngine::Fjall, ObjectEngine::Sled, ObjectEngine::Rocksdb];

/// Whether an embedded engine has its folder below `dir`.
#[cfg(feature = "postgres")]
pub(crate) fn is_in(dir: &Path) -> bool {
    ENGINES
        .iter()
        .any(|engine| dir.join(engine_name(*engine)).exists())
}

fn refuse_other_engines(dir: &Path, wanted: ObjectEngine) -> Result<(), StoreError> {
    let found = ENGINES
        .into_iter()
        .find(|engine| *engine != wanted && dir.join(engine_name(*engine)).exists());
    match found {
        None => Ok(()),
        Some(found) => Err(StorageFault::OtherEngine {
            dir: dir.to_owned(),
            found: engine_name(found),
            wanted: engine_name(wanted),
        }
        .into()),
    }
}

/// Says where the damage is and what an operator can do about it.
fn with_way_out(error: StoreError, folder: &Path) -> StoreError {
    match error {
        StoreError::Corrupt(what) => StoreError::Corrupt(format!(
            "{what}, in {}. Nothing was changed. Restore the folder from a backup; or move it away and start again: \
             large objects are then taken back from their files, small ones from the network",
            folder.display()
        )),
        other => other,
    }
}
