use std::{
    fs::{self, File, TryLockError},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use dm_core::{
    config::StorageConfig,
    damage::DamageLog,
    meter::Histogram,
    ports::{
        HealthCheck, KeptLimits, KeyValueStore, NamespaceCopy, ObjectChanges, ObjectStore, StorageQuota,
        StoreError, UnfinishedObjects,
    },
};
use tokio::sync::Notify;

use crate::{
    commits::committer::Committer,
    disk::{space::Space, write_state::WriteState},
    engine::{self, Engine},
    error::{StorageFault, failed},
    namespaces::Namespace,
    objects::{
        LocalObjects, Objects, StorageMeter, bucket, cache::ReadCache, files::Files, layout, record::BodyIds,
        recovery,
    },
};
#[cfg(feature = "postgres")]
use crate::{
    commits::meta,
    engine::{Committed, postgres::PostgresEngine},
    objects::following::sweep_on,
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
    housekeeping: Housekeeping,
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
        let opening = Opening {
            dir,
            config,
            limits,
            lock,
        };
        opening.over(engine, config.cache_bytes - engine_cache)
    }

    /// Opens the store of an account whose objects are in a bucket, and which other instances
    /// may have open as well: the index, small objects and the namespaces are in a PostgreSQL
    /// database, and the folder has what is being written. Where no bucket is configured, or
    /// the folder has an index already, this is [`Storage::open_within`].
    ///
    /// # Errors
    /// Those of [`Storage::open_within`], [`StoreError::Unavailable`] where the database cannot be
    /// reached, and [`StoreError::Failed`] with a [`StorageFault`] where the database has an
    /// index, and no bucket is configured or the folder has another index.
    #[cfg(feature = "postgres")]
    pub fn open_shared(
        dir: &Path,
        config: &StorageConfig,
        limits: KeptLimits,
        database: &crate::PostgresOptions,
    ) -> Result<Self, StoreError> {
        let engine = PostgresEngine::open(database)?;
        let is_begun = meta::epoch(&Committed(&engine))?.is_some();
        let has_own_index = engine::is_in(dir) || Files::any_in(dir).map_err(StoreError::from_io)?;
        match (is_begun, has_own_index) {
            (true, _) if config.objects_url.is_none() => {
                return Err(StorageFault::BucketNotSet(dir.to_owned()).into());
            }
            (true, true) => return Err(StorageFault::TwoIndexes(dir.to_owned()).into()),
            (false, _) if config.objects_url.is_none() => return Self::open_within(dir, config, limits),
            (false, true) => {
                tracing::warn!("the index of the objects stays in the data directory, where it is");
                return Self::open_within(dir, config, limits);
            }
            (_, false) => {}
        }
        fs::create_dir_all(dir).map_err(StoreError::from_io)?;
        refuse_small_disk(dir)?;
        let lock = lock_folder(dir)?;
        let opening = Opening {
            dir,
            config,
            limits,
            lock,
        };
        opening.over(Arc::new(engine), config.cache_bytes)
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

    /// What the store counts of its own work.
    pub fn meter(&self) -> StorageMeter {
        StorageMeter(self.objects.clone())
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
        let (objects, housekeeping) = (self.objects.clone(), self.housekeeping.clone());
        crate::blocking::blocking(move || {
            let stopped = housekeeping.stop();
            #[cfg(feature = "postgres")]
            if objects.engine.is_shared()
                && let Err(error) = objects.sign_off()
            {
                tracing::warn!(%error, "what was being written is collected a minute later");
            }
            objects.committer.close();
            stopped
        })
        .await
    }
}

/// What a store is opened with.
struct Opening<'a> {
    dir: &'a Path,
    config: &'a StorageConfig,
    limits: KeptLimits,
    /// Keeps other processes from the folder.
    lock: File,
}

impl Opening<'_> {
    /// Opens the store over an engine, with so many bytes for what was read lately.
    fn over(self, engine: Arc<dyn Engine>, cache_bytes: u64) -> Result<Storage, StoreError> {
        let Self {
            dir,
            config,
            limits,
            lock,
        } = self;
        let files = Files::open(dir).map_err(StoreError::from_io)?;
        let bucket = bucket::open(config, limits.account)?;
        recovery::refuse_other_bucket(dir, &*engine, bucket.as_deref())?;
        let epoch = recovery::begin_epoch(&*engine, &files, bucket.as_deref(), limits)?;
        let space = Space::of(dir, KEPT_FREE)?;
        let state = WriteState::default();
        let totals = recovery::totals(&*engine, limits, epoch)?;
        let space_of_engine = (!engine.is_shared()).then(|| space.clone());
        let committer = Arc::new(Committer::start(
            engine.clone(),
            space_of_engine,
            totals,
            state.clone(),
        )?);
        let sweep = recovery::Sweep {
            engine: engine.clone(),
            files: files.clone(),
            bucket: bucket.clone(),
            committer: committer.clone(),
        };
        let objects = Arc::new(Objects {
            committer,
            engine,
            files,
            bucket,
            space,
            cache: ReadCache::with_bytes(cache_bytes),
            ids: BodyIds::of_epoch(epoch),
            changed: Notify::new(),
            damage: DamageLog::new(),
            state,
            file_state: WriteState::default(),
            reads: Histogram::of_seconds(),
            inline_bytes: layout::sealed_size(config.inline_limit.min(MAX_INLINE_LIMIT)),
            _lock: lock,
        });
        Ok(Storage {
            housekeeping: Housekeeping::start(sweep, &objects)?,
            objects,
        })
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        if let Err(error) = self.housekeeping.stop() {
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

/// The threads that tidy up, and look what others do.
#[derive(Clone)]
struct Housekeeping {
    stop: Arc<AtomicBool>,
    threads: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Housekeeping {
    fn start(sweep: recovery::Sweep, objects: &Arc<Objects>) -> Result<Self, StoreError> {
        let housekeeping = Self {
            stop: Arc::new(AtomicBool::new(false)),
            threads: Arc::default(),
        };
        #[cfg(feature = "postgres")]
        if objects.engine.is_shared() {
            let (sweeping, following) = (objects.clone(), objects.clone());
            housekeeping.run("dm-storage-sweep", move |stop| sweep_on(&sweep, &sweeping, stop))?;
            housekeeping.run("dm-storage-follow", move |stop| following.follow(stop))?;
            return Ok(housekeeping);
        }
        let epoch = objects.ids.epoch();
        housekeeping.run("dm-storage-sweep", move |stop| sweep.run(epoch, stop))?;
        Ok(housekeeping)
    }

    fn run(&self, name: &str, work: impl FnOnce(&AtomicBool) + Send + 'static) -> Result<(), StoreError> {
        let stop = self.stop.clone();
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(&stop))
            .map_err(StoreError::from_io)?;
        self.lock().push(thread);
        Ok(())
    }

    /// Lets the threads finish what they are at, and waits for them.
    fn stop(&self) -> Result<(), StoreError> {
        self.stop.store(true, Ordering::Relaxed);
        let threads = std::mem::take(&mut *self.lock());
        let ended = threads.into_iter().map(JoinHandle::join);
        if ended.filter(Result::is_err).count() > 0 {
            return Err(failed("a background thread of the object store panicked"));
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
