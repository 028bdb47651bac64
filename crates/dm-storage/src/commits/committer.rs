//! The one thread that writes to the engine. Changes that arrive while a commit
//! is on its way to the disk share the next one, so that many callers pay for
//! one fsync; and since nobody else writes meanwhile, what a caller checks in its
//! transaction still holds when it is applied.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use bytes::Bytes;
use dm_core::{
    envelope::SignedEnvelope,
    lease::{Epoch, current_epoch},
    meter::CommitMeter,
    ports::StoreError,
};
use tokio::sync::{mpsc, oneshot};

use super::{
    gathering::Gathering,
    meta,
    totals::Totals,
    transaction::{Group, Transaction},
};
use crate::{
    disk::{space::Space, write_state::WriteState},
    engine::{Change, Engine, Reads, Table},
    error::{StorageFault, failed, repeat},
};

/// Callers that may wait for the thread; more wait to be let in.
const QUEUE: usize = 1024;
/// Bytes after which a group takes no more callers, so that one commit stays
/// far below the engine's journal and memory limits.
const GROUP_BYTES: usize = 4 << 20;
/// How long a group stays open where the one before it had [`CROWD`] callers:
/// under load a wait this short saves most of the fsyncs and thread wake-ups.
const LINGER: Duration = Duration::from_millis(1);
/// Callers whose keys are read together, where others write as well: each look then asks a server.
const WAVE: usize = 64;
/// Callers in a group that show that more are about to come. A caller or two
/// that come one after the other never wait for others.
const CROWD: usize = 4;

/// What a change needs of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Refused where the disk is nearly full.
    Space,
    /// Takes next to nothing, and frees some: allowed to the last byte.
    Nothing,
}

impl Need {
    /// What it takes to store an object.
    pub(crate) fn of(envelope: &SignedEnvelope) -> Self {
        if envelope.is_tombstone() {
            Self::Nothing
        } else {
            Self::Space
        }
    }
}

/// Hands changes to the committing thread.
pub(crate) struct Committer {
    jobs: Mutex<Option<mpsc::Sender<Box<dyn Job>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    totals: Arc<Mutex<Totals>>,
    meter: Arc<CommitMeter>,
}

impl Committer {
    /// Starts the thread. `totals` are those of the engine now, and `space` is that of the
    /// disk where the engine is on one.
    pub(crate) fn start(
        engine: Arc<dyn Engine>,
        space: Option<Space>,
        totals: Totals,
        state: WriteState,
    ) -> Result<Self, StoreError> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let totals = Arc::new(Mutex::new(totals));
        let meter = Arc::new(CommitMeter::default());
        let worker = Worker {
            engine,
            space,
            totals: totals.clone(),
            state,
            meter: meter.clone(),
        };
        let thread = thread::Builder::new()
            .name("dm-storage-commit".to_owned())
            .spawn(move || worker.run(queue))
            .map_err(StoreError::from_io)?;
        Ok(Self {
            jobs: Mutex::new(Some(jobs)),
            thread: Mutex::new(Some(thread)),
            totals,
            meter,
        })
    }

    /// Runs `work` on the thread and returns when its changes are durable.
    /// Where it fails, nothing of it is applied. Work that has been handed
    /// over is done even if nobody waits for it any more. It may be run several
    /// times; what counts is the last.
    ///
    /// [In an epoch](dm_core::lease::in_epoch) of the leader it is refused where that is over.
    pub(crate) async fn run<T, Work>(&self, need: Need, work: Work) -> Result<T, StoreError>
    where
        T: Send + 'static,
        Work: Fn(&mut Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.run_with(need, None, work).await
    }

    /// As [`Committer::run`], for work that reads this key, which is read together with those
    /// of others.
    pub(crate) async fn run_on<T, Work>(
        &self,
        need: Need,
        key: (Table, Bytes),
        work: Work,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        Work: Fn(&mut Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.run_with(need, Some(key), work).await
    }

    /// As [`Committer::run`], for threads that are not async.
    pub(crate) fn run_blocking<T, Work>(&self, need: Need, work: Work) -> Result<T, StoreError>
    where
        T: Send + 'static,
        Work: Fn(&mut Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (job, outcome) = task(need, None, None, work);
        let jobs = self.jobs()?;
        jobs.blocking_send(job).map_err(|_| StorageFault::Stopped)?;
        outcome.blocking_recv().map_err(|_| StorageFault::Stopped)?
    }

    async fn run_with<T, Work>(
        &self,
        need: Need,
        key: Option<(Table, Bytes)>,
        work: Work,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        Work: Fn(&mut Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (job, outcome) = task(need, key, current_epoch(), work);
        let jobs = self.jobs()?;
        jobs.send(job).await.map_err(|_| StorageFault::Stopped)?;
        outcome.await.map_err(|_| StorageFault::Stopped)?
    }

    fn jobs(&self) -> Result<mpsc::Sender<Box<dyn Job>>, StorageFault> {
        lock(&self.jobs).clone().ok_or(StorageFault::Closed)
    }

    /// Whether the thread has ended although nobody closed the committer: it
    /// panicked, and takes no more changes.
    pub(crate) fn has_died(&self) -> bool {
        lock(&self.jobs).as_ref().is_some_and(mpsc::Sender::is_closed)
    }

    /// What the commits were like since the start.
    pub(crate) fn meter(&self) -> &CommitMeter {
        &self.meter
    }

    /// How many changes wait for the thread.
    pub(crate) fn waiting(&self) -> usize {
        let jobs = lock(&self.jobs);
        jobs.as_ref()
            .map_or(0, |jobs| jobs.max_capacity() - jobs.capacity())
    }

    /// What is stored, as of the last commit; where others write as well, as of the last look.
    pub(crate) fn totals(&self) -> Totals {
        *lock(&self.totals)
    }

    /// Looks what others have stored; whether they have changed an object since the last look.
    #[cfg(feature = "postgres")]
    pub(crate) fn look(&self, engine: &dyn Engine) -> Result<bool, StoreError> {
        let (known, reads) = (self.totals(), crate::engine::Committed(engine));
        // First, so that what is counted is not older than the position says.
        let noted = meta::noted(&reads)?;
        if noted <= known.noted {
            return Ok(false);
        }
        let (found, _) = Totals::load(&reads, known.limits, 0)?;
        let mut totals = lock(&self.totals);
        if noted > totals.noted {
            *totals = Totals { noted, ..found };
        }
        Ok(true)
    }

    /// Lets no more changes in, and waits until those that are have been committed.
    pub(crate) fn close(&self) {
        drop(lock(&self.jobs).take());
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the committing thread of the object store had panicked");
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.close();
    }
}

/// A caller's work, and what becomes of it.
type Handed<T> = (Box<dyn Job>, oneshot::Receiver<Result<T, StoreError>>);

fn task<T, Work>(need: Need, key: Option<(Table, Bytes)>, epoch: Option<Epoch>, work: Work) -> Handed<T>
where
    T: Send + 'static,
    Work: Fn(&mut Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
{
    let (reply, outcome) = oneshot::channel();
    let job = Box::new(Task {
        need,
        key,
        epoch,
        work,
        done: None,
        reply,
    });
    (job, outcome)
}

/// A caller's work with its type taken away.
pub(super) trait Job: Send {
    fn need(&self) -> Need;
    /// The key that it reads, where that is known.
    fn key(&self) -> Option<&(Table, Bytes)>;
    /// Adds the changes to the group.
    fn apply(&mut self, group: &mut Group<'_>);
    /// Tells the caller what became of it.
    fn reply(self: Box<Self>, commit: &Result<(), StoreError>);
}

struct Task<T, Work> {
    need: Need,
    key: Option<(Table, Bytes)>,
    /// In which somebody leads, by whose right it is done.
    epoch: Option<Epoch>,
    work: Work,
    done: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, Work> Job for Task<T, Work>
where
    T: Send,
    Work: Fn(&mut Transaction<'_>) -> Result<T, StoreError> + Send,
{
    fn need(&self) -> Need {
        self.need
    }

    fn key(&self) -> Option<&(Table, Bytes)> {
        self.key.as_ref()
    }

    fn apply(&mut self, group: &mut Group<'_>) {
        self.done = Some(group.apply(|transaction| {
            if let Some(epoch) = self.epoch {
                transaction.check_epoch(epoch)?;
            }
            (self.work)(transaction)
        }));
    }

    fn reply(self: Box<Self>, commit: &Result<(), StoreError>) {
        let Self { done, reply, .. } = *self;
        let result = match (done, commit) {
            (Some(Err(refused)), _) => Err(refused),
            (_, Err(error)) => Err(repeat(error)),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => Err(failed("the change was not applied")),
        };
        // Nobody listens where the caller was cancelled.
        drop(reply.send(result));
    }
}

struct Worker {
    engine: Arc<dyn Engine>,
    space: Option<Space>,
    totals: Arc<Mutex<Totals>>,
    state: WriteState,
    meter: Arc<CommitMeter>,
}

impl Worker {
    fn run(self, mut queue: mpsc::Receiver<Box<dyn Job>>) {
        let mut callers = 0;
        while let Some(first) = queue.blocking_recv() {
            if callers >= CROWD {
                thread::sleep(LINGER);
            }
            callers = self.commit_group(first, &mut queue);
        }
    }

    /// Commits what waits, and returns how many callers shared the commit.
    fn commit_group(&self, first: Box<dyn Job>, queue: &mut mpsc::Receiver<Box<dyn Job>>) -> usize {
        let space = self.space.as_ref();
        let mut gathering = Gathering {
            space: space.map_or(Ok(()), |space| space.check(GROUP_BYTES as u64)),
            first: Some(first),
            queue,
            jobs: Vec::new(),
            after: None,
        };
        let started = Instant::now();
        let committed = match self
            .engine
            .transact(&mut |reads| self.make(&mut gathering, reads))
        {
            // There may be room now that was kept for this.
            Err(StoreError::Full) if gathering.frees_room() => {
                self.engine.make_room();
                gathering.space = Err(StoreError::Full);
                self.engine
                    .transact(&mut |reads| self.make(&mut gathering, reads))
            }
            other => other,
        };
        let Gathering {
            first, jobs, after, ..
        } = gathering;
        self.note(&committed, after);
        let jobs: Vec<_> = jobs.into_iter().chain(first).collect();
        let callers = jobs.len();
        self.meter.note(callers, started.elapsed(), committed.is_ok());
        for job in jobs {
            job.reply(&committed);
        }
        callers
    }

    /// The changes of all who have gathered, on this state of the tables.
    fn make(&self, gathering: &mut Gathering<'_>, reads: &dyn Reads) -> Result<Vec<Change>, StoreError> {
        gathering.after = None;
        let is_shared = self.engine.is_shared();
        let wave = if is_shared { WAVE } else { 1 };
        if gathering.jobs.is_empty() {
            gathering.take(wave);
        }
        let before = if is_shared {
            gathering.expect(0, reads, meta::counters().into())?;
            Totals::load(reads, lock(&self.totals).limits, 0)?.0
        } else {
            *lock(&self.totals)
        };
        let mut group = Group::new(reads, before);
        let mut applied = 0;
        while applied < gathering.jobs.len() {
            if applied > 0 && is_shared {
                gathering.expect(applied, reads, Vec::new())?;
            }
            for job in gathering.jobs.iter_mut().skip(applied) {
                job.apply(&mut group);
            }
            applied = gathering.jobs.len();
            if group.changes.bytes() < GROUP_BYTES {
                gathering.take(wave);
            }
        }
        let Group {
            mut changes, totals, ..
        } = group;
        if !changes.is_empty() {
            if totals != before {
                totals.write(&mut changes);
            }
            gathering.after = Some(totals);
        }
        Ok(changes.into_list())
    }

    /// Notes what came of a commit, where there was something to commit.
    fn note(&self, committed: &Result<(), StoreError>, after: Option<Totals>) {
        match (committed, after) {
            (Ok(()), None) => {}
            (Ok(()), Some(totals)) => {
                self.state.succeeded();
                *lock(&self.totals) = totals;
            }
            (Err(error), after) => {
                // It may turn out to have been made: its positions are not given out again.
                if let Some(totals) = after.filter(|_| !self.engine.is_shared()) {
                    lock(&self.totals).noted = totals.noted;
                }
                self.state.failed(error);
                tracing::error!(%error, "the object store could not commit");
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
