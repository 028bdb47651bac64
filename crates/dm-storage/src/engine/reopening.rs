//! An engine that is opened anew when a write of it has failed, without a
//! restart of the process, and in which nothing that was refused comes alive.
//!
//! An embedded engine takes no more writes after one that failed, and what it
//! wrote of that one may stand whole in its journal: opening the engine again
//! would bring it to life. So the values of before are put back, durably, before
//! anybody learns that the write has failed.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use dm_core::ports::StoreError;

use super::{Change, Engine, Entry, Snapshot, Table, journal};
use crate::{disk::reserve::Reserve, error::repeat};

/// Bytes that the disk must take before an engine is opened anew: what it
/// writes then must not fail half-way.
const PROBE: u64 = 12 << 20;

/// How an engine is opened.
pub(crate) type Open = dyn Fn() -> Result<Box<dyn Engine>, StoreError> + Send + Sync;

/// An engine that may be closed and opened anew beneath its users.
pub(crate) struct Reopening {
    folder: PathBuf,
    open: Box<Open>,
    reserve: Reserve,
    /// Nothing between a closing and an opening that failed.
    engine: RwLock<Option<Box<dyn Engine>>>,
    /// How often the engine was opened, changed while `engine` is held for writing.
    openings: AtomicU64,
    /// What is put back before anything else is written, where a write failed.
    owed: Mutex<Option<Vec<Change>>>,
}

impl Reopening {
    /// Opens the engine, whose files are in `folder`.
    pub(crate) fn open(folder: PathBuf, reserve: Reserve, open: Box<Open>) -> Result<Self, StoreError> {
        let engine = open()?;
        reserve.take();
        Ok(Self {
            folder,
            open,
            reserve,
            engine: RwLock::new(Some(engine)),
            openings: AtomicU64::new(1),
            owed: Mutex::new(None),
        })
    }

    fn read<T>(&self, read: impl FnOnce(&dyn Engine) -> Result<T, StoreError>) -> Result<T, StoreError> {
        match &*self.engine() {
            Some(engine) => read(&**engine),
            None => Err(StoreError::Unavailable("it is being opened anew".to_owned())),
        }
    }

    fn engine(&self) -> RwLockReadGuard<'_, Option<Box<dyn Engine>>> {
        self.engine.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What puts the values back that the changes would replace.
    fn undoing(&self, changes: &[Change]) -> Result<Vec<Change>, StoreError> {
        self.read(|engine| {
            let undo = |change: &Change| {
                Ok(Change {
                    table: change.table,
                    key: change.key.clone(),
                    value: engine.get(change.table, &change.key)?,
                })
            };
            changes.iter().map(undo).collect()
        })
    }

    /// Commits, and says whether the engine may have taken something of a commit
    /// that failed.
    fn attempt(&self, changes: &[Change]) -> Result<(), Failure> {
        let before = self.read(|engine| Ok(engine.shows_refused()));
        let early = match before {
            Ok(true) => Some(self.undoing(changes).map_err(Failure::Untouched)?),
            Ok(false) => None,
            Err(error) => return Err(Failure::Untouched(error)),
        };
        let copies = changes.iter().map(Change::clone_shallow).collect();
        match self.read(|engine| engine.commit(copies)) {
            Ok(()) => Ok(()),
            Err(error) if is_refused_outright(&error) => Err(Failure::Untouched(error)),
            Err(error) => {
                let undo = early.map_or_else(|| self.undoing(changes), Ok);
                match undo {
                    Ok(undo) => Err(Failure::Begun(error, undo)),
                    Err(unreadable) => Err(Failure::Lost(unreadable)),
                }
            }
        }
    }

    /// Opens the engine anew and puts back what is owed, where something is.
    fn settle(&self) -> Result<(), StoreError> {
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(undo) = owed.take() else {
            return Ok(());
        };
        let settled = self.reopen(&undo);
        if settled.is_err() {
            *owed = Some(undo);
        }
        settled
    }

    fn reopen(&self, undo: &[Change]) -> Result<(), StoreError> {
        let mut probed = probe(&self.folder);
        if matches!(probed, Err(StoreError::Full)) && self.reserve.release() {
            probed = probe(&self.folder);
        }
        // The engine that failed still reads; it stays as long as no other can take its place.
        probed?;
        let mut engine = self.engine.write().unwrap_or_else(PoisonError::into_inner);
        drop(engine.take());
        self.openings.fetch_add(1, Ordering::Relaxed);
        journal::rewrite(&self.folder).map_err(StoreError::from_io)?;
        let fresh = (self.open)()?;
        if !undo.is_empty() {
            fresh.commit(undo.iter().map(Change::clone_shallow).collect())?;
        }
        *engine = Some(fresh);
        tracing::info!(
            "the object store was opened anew and takes writes again; what it had refused is undone"
        );
        Ok(())
    }
}

/// A snapshot of one opening of the engine: the next one does not keep its moment.
struct SnapshotOfOpening {
    opening: u64,
    snapshot: Snapshot,
}

/// Why a commit failed.
enum Failure {
    /// The engine has taken nothing of it.
    Untouched(StoreError),
    /// Something or all of it may stand in the journal; this undoes it.
    Begun(StoreError, Vec<Change>),
    /// As above, and the values of before cannot be read.
    Lost(StoreError),
}

/// Whether an engine took nothing because an earlier write had failed.
fn is_refused_outright(error: &StoreError) -> bool {
    matches!(error, StoreError::Unavailable(_))
}

impl Engine for Reopening {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.read(|engine| engine.get(table, key))
    }

    fn scan(
        &self,
        table: Table,
        start: &[u8],
        prefix: &[u8],
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.read(|engine| engine.scan(table, start, prefix, limit))
    }

    fn snapshot(&self) -> Result<Option<Snapshot>, StoreError> {
        self.read(|engine| {
            let opening = self.openings.load(Ordering::Relaxed);
            let snapshot = engine.snapshot()?;
            Ok(snapshot.map(|snapshot| Snapshot::new(SnapshotOfOpening { opening, snapshot })))
        })
    }

    fn scan_snapshot(
        &self,
        snapshot: &Snapshot,
        table: Table,
        start: &[u8],
        prefix: &[u8],
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let SnapshotOfOpening { opening, snapshot } = snapshot.get()?;
        self.read(|engine| {
            if *opening != self.openings.load(Ordering::Relaxed) {
                let why = "the store was opened anew since the snapshot was taken; take another";
                return Err(StoreError::Unavailable(why.to_owned()));
            }
            engine.scan_snapshot(snapshot, table, start, prefix, limit)
        })
    }

    /// Where this fails, nothing of the changes is there or will be, except where
    /// the error is [`StoreError::Unsettled`].
    fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.settle().map_err(as_unavailable)?;
        let mut result = self.attempt(&changes);
        if let Err(Failure::Untouched(_)) = &result {
            // An earlier write in the background had failed; this one may do better.
            self.owe(Vec::new());
            self.settle().map_err(as_unavailable)?;
            result = self.attempt(&changes);
        }
        match result {
            Ok(()) => Ok(()),
            Err(Failure::Untouched(error)) => {
                self.owe(Vec::new());
                Err(as_unavailable(error))
            }
            Err(Failure::Begun(error, undo)) => {
                self.owe(undo);
                match self.settle() {
                    Ok(()) => Err(as_unavailable(error)),
                    Err(why) => Err(StoreError::Unsettled(why.to_string())),
                }
            }
            Err(Failure::Lost(error)) => {
                self.owe(Vec::new());
                Err(StoreError::Unsettled(error.to_string()))
            }
        }
    }

    fn make_room(&self) -> bool {
        self.reserve.release()
    }

    fn keep_room(&self) {
        self.reserve.take();
    }

    fn room_kept(&self) -> u64 {
        self.reserve.bytes()
    }
}

impl Reopening {
    fn owe(&self, undo: Vec<Change>) {
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        *owed = Some(undo);
    }
}

/// What the medium says, as an error after which the same may work later.
fn as_unavailable(error: StoreError) -> StoreError {
    match error {
        StoreError::Failed(why) => StoreError::Unavailable(why.to_string()),
        other => repeat(&other),
    }
}

/// Whether the disk takes as much as an engine writes when it is opened.
fn probe(folder: &Path) -> Result<(), StoreError> {
    let path = folder.with_extension("probe");
    let write = || {
        let mut file = File::create(&path)?;
        io::copy(&mut io::Read::take(io::repeat(0x5a), PROBE), &mut file)?;
        file.sync_all()
    };
    let written = write();
    let removed = fs::remove_file(&path);
    written.and(removed).map_err(StoreError::from_io)
}

#[cfg(test)]
mod tests {
    use super::{super::fjall::FjallEngine, *};

    #[test]
    fn a_snapshot_ends_where_the_engine_is_opened_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fjall");
        let (reserve, opened) = (Reserve::at(folder.path().join("reserve"), 1), path.clone());
        let open = move || Ok(Box::new(FjallEngine::open(&opened, 1 << 20)?) as Box<dyn Engine>);
        let engine = Reopening::open(path, reserve, Box::new(open)).unwrap();
        let put = |value: &'static str| Change {
            table: Table::Meta,
            key: Bytes::from_static(b"key"),
            value: Some(Bytes::from_static(value.as_bytes())),
        };
        engine.commit(vec![put("before")]).unwrap();
        let snapshot = engine.snapshot().unwrap().unwrap();
        engine.commit(vec![put("after")]).unwrap();
        let scan = || engine.scan_snapshot(&snapshot, Table::Meta, b"", b"", 9);
        assert_eq!(scan().unwrap(), [(Bytes::from("key"), Bytes::from("before"))]);

        // As after a write that failed: the snapshot is no obstacle.
        engine.owe(Vec::new());
        engine.settle().unwrap();
        assert!(matches!(scan(), Err(StoreError::Unavailable(_))));
        let now = engine.get(Table::Meta, b"key").unwrap();
        assert_eq!(now, Some(Bytes::from("after")));
    }
}
