use std::{
    fs::{self, File, TryLockError},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use dm_core::{
    config::StorageConfig,
    damage::DamageLog,
    ports::{
        HealthCheck, KeptLimits, KeyValueStore, NamespaceCopy, ObjectChanges, ObjectStore, StorageQuota,
        StoreError, UnfinishedObjects,
    },
};
use tokio::sync::Notify;

use crate::{
    commits::committer::Committer,
    disk::{space::Space, write_state::WriteState},
    engine,
    error::{StorageFault, failed},
    namespaces::Namespace,
    objects::{
        LocalObjects, Objects, bucket, cache::ReadCache, files::Files, layout, record::BodyIds, recovery,
    },
};

/// Largest inline limit in bytes: bodies up to it are held in memory while they are written.
const MAX_INLINE_LIMIT: u64 = 4 << 20;
/// Bytes of the disk that new data leaves free, for what the engine does in the
/// background and for what frees room.
const KEPT_FREE: u64 = 64 << 20;
/// Bytes that an empty folder needs beyond that: for the room that this store and
/// the catalog beside it keep, and for something to store.
const FIRST_BYTES: u64 = 96 << 20;
/// Part of the configured cache that goes to the engine's blocks; the rest
/// keeps records and small chunks ready.
const ENGINE_CACHE_PERCENT: u64 = 40;

/// Everything that this crate keeps in one folder, opened by one process:
/// objects and key-value namespaces.
pub struct Storage {
    objects: Arc<Objects>,
    sweeper: Sweeper,
}

impl Storage {
    /// Opens the store in a folder, which is made where it does not exist.
    /// Blocks: a few milliseconds, and up to a second after a crash under load.
    ///
    /// # Errors
    /// [`StoreError::Failed`] with a [`StorageFault`] where another process has
    /// the folder open, another engine wrote it, or the engine was not built in;
    /// [`StoreError::Corrupt`] says what is damaged and what to do.
    pub fn open(dir: &Path, config: &StorageConfig) -> Result<Self, StoreError> {
        Self::open_within(dir, config, KeptLimits::NONE)
    }

    /// Opens the store of an account, which keeps no more than `limits` for it
    /// and for others. What is stored already stays, whatever the limits are.
    /// With another account than at the last opening, everything is counted
    /// anew: about a second for each hundred thousand objects.
    ///
    /// # Errors
    /// Those of [`Storage::open`].
    pub fn open_within(dir: &Path, config: &StorageConfig, limits: KeptLimits) -> Result<Self, StoreError> {
        fs::create_dir_all(dir).map_err(StoreError::from_io)?;
        refuse_small_disk(dir)?;
        let lock = lock_folder(dir)?;
        let engine_cache = config.cache_bytes * ENGINE_CACHE_PERCENT / 100;
        let engine = engine::open(dir, config, engine_cache)?;
        let files = Files::open(dir).map_err(StoreError::from_io)?;
        let bucket = bucket::open(config, limits.account)?;
        recovery::refuse_other_bucket(dir, &*engine, bucket.as_deref())?;
        let epoch = recovery::begin_epoch(&*engine, &files, bucket.as_deref())?;
        let space = Space::of(dir, KEPT_FREE)?;
        let state = WriteState::default();
        let totals = recovery::totals(&*engine, limits, epoch)?;
        let committer = Arc::new(Committer::start(
            engine.clone(),
            space.clone(),
            totals,
            state.clone(),
        )?);
        let sweeper = Sweeper::start(recovery::Sweep {
            engine: engine.clone(),
            files: files.clone(),
            bucket: bucket.clone(),
            committer: committer.clone(),
            epoch,
        })?;
        let objects = Objects {
            committer,
            engine,
            files,
            bucket,
            space,
            cache: ReadCache::with_bytes(config.cache_bytes - engine_cache),
            ids: BodyIds::of_epoch(epoch),
            changed: Notify::new(),
            damage: DamageLog::new(),
            state,
            file_state: WriteState::default(),
            inline_bytes: layout::sealed_size(config.inline_limit.min(MAX_INLINE_LIMIT)),
            _lock: lock,
        };
        Ok(Self {
            objects: Arc::new(objects),
            sweeper,
        })
    }

    /// The object store.
    pub fn objects(&self) -> Arc<dyn ObjectStore> {
        Arc::new(self.local())
    }

    /// Objects that come in parts.
    pub fn unfinished(&self) -> Arc<dyn UnfinishedObjects> {
        Arc::new(self.local())
    }

    /// Which objects have changed.
    pub fn changes(&self) -> Arc<dyn ObjectChanges> {
        Arc::new(self.local())
    }

    /// How much of its limits the object store has used.
    pub fn quota(&self) -> Arc<dyn StorageQuota> {
        Arc::new(self.local())
    }

    pub(crate) fn local(&self) -> LocalObjects {
        LocalObjects(self.objects.clone())
    }

    /// How the store is.
    pub fn health(&self) -> Arc<dyn HealthCheck> {
        Arc::new(self.local())
    }

    /// Which objects could not be read.
    pub fn damage(&self) -> DamageLog {
        self.objects.damage.clone()
    }

    /// The key-value store of this name; its entries are apart from all others.
    pub fn namespace(&self, name: &str) -> Arc<dyn KeyValueStore> {
        Arc::new(Namespace::new(self.objects.clone(), name))
    }

    /// Copies namespaces.
    pub fn namespaces(&self) -> Arc<dyn NamespaceCopy> {
        Arc::new(self.local())
    }

    /// Takes no more changes and returns when those under way are durable.
    /// What comes later is refused with [`StorageFault::Closed`]; reads still
    /// work. The folder is free for another process when the store and all
    /// ports from it are dropped.
    ///
    /// # Errors
    /// [`StoreError::Failed`] where a background thread of the store panicked.
    pub async fn close(&self) -> Result<(), StoreError> {
        let (objects, sweeper) = (self.objects.clone(), self.sweeper.clone());
        crate::blocking::blocking(move || {
            objects.committer.close();
            sweeper.stop()
        })
        .await
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        if let Err(error) = self.sweeper.stop() {
            tracing::error!(%error, "closing the object store");
        }
    }
}

/// A store that could keep nothing is not begun; one that is there is opened, so
/// that it can be read, and so that what frees room can be done.
fn refuse_small_disk(dir: &Path) -> Result<(), StoreError> {
    let is_empty = fs::read_dir(dir).map_err(StoreError::from_io)?.next().is_none();
    let free = Space::of(dir, KEPT_FREE)?.free()?;
    let needed = KEPT_FREE + FIRST_BYTES;
    if is_empty && free < needed {
        return Err(StorageFault::TooLittleSpace {
            dir: dir.to_owned(),
            free_mib: free >> 20,
            needed_mib: needed >> 20,
        }
        .into());
    }
    Ok(())
}

/// Holds the folder for this process until the file is dropped. A child that another
/// thread is starting has it for an instant after this process has let it go.
fn lock_folder(dir: &Path) -> Result<File, StoreError> {
    const TRIES: usize = 20;
    const PAUSE: Duration = Duration::from_millis(10);
    let lock = File::create(dir.join("LOCK")).map_err(StoreError::from_io)?;
    for _ in 0..TRIES {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) => thread::sleep(PAUSE),
            Err(TryLockError::Error(error)) => return Err(StoreError::from_io(error)),
        }
    }
    Err(StorageFault::InUse(dir.to_owned()).into())
}

/// The thread that looks through the files after opening.
#[derive(Clone)]
struct Sweeper {
    stop: Arc<AtomicBool>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Sweeper {
    fn start(sweep: recovery::Sweep) -> Result<Self, StoreError> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::Builder::new()
            .name("dm-storage-sweep".to_owned())
            .spawn(move || sweep.run(&stopped))
            .map_err(StoreError::from_io)?;
        Ok(Self {
            stop,
            thread: Arc::new(Mutex::new(Some(thread))),
        })
    }

    /// Lets the thread finish the file it is at, and waits for it.
    fn stop(&self) -> Result<(), StoreError> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        match thread.map(JoinHandle::join) {
            Some(Err(_)) => Err(failed("the thread that looks through the files panicked")),
            _ => Ok(()),
        }
    }
}
