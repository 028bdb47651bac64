//! The one thread that writes to the engine. Changes that arrive while a commit
//! is on its way to the disk share the next one, so that many callers pay for
//! one fsync; and since nobody else writes, what a caller checks in its
//! transaction still holds when it is applied.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use dm_core::{envelope::SignedEnvelope, ports::StoreError};
use tokio::sync::{mpsc, oneshot};

use super::{
    totals::Totals,
    transaction::{Group, Transaction},
};
use crate::{
    disk::{space::Space, write_state::WriteState},
    engine::{Change, Engine},
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
}

impl Committer {
    /// Starts the thread. `totals` are those of the engine now.
    pub(crate) fn start(
        engine: Arc<dyn Engine>,
        space: Space,
        totals: Totals,
        state: WriteState,
    ) -> Result<Self, StoreError> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let totals = Arc::new(Mutex::new(totals));
        let worker = Worker {
            engine,
            space,
            totals: totals.clone(),
            state,
        };
        let thread = thread::Builder::new()
            .name("dm-storage-commit".to_owned())
            .spawn(move || worker.run(queue))
            .map_err(StoreError::from_io)?;
        Ok(Self {
            jobs: Mutex::new(Some(jobs)),
            thread: Mutex::new(Some(thread)),
            totals,
        })
    }

    /// Runs `work` on the thread and returns when its changes are durable.
    /// Where it fails, nothing of it is applied. Work that has been handed
    /// over is done even if nobody waits for it any more.
    pub(crate) async fn run<T, Work>(&self, need: Need, work: Work) -> Result<T, StoreError>
    where
        T: Send + 'static,
        Work: FnOnce(&mut Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let jobs = lock(&self.jobs).clone().ok_or(StorageFault::Closed)?;
        let (reply, outcome) = oneshot::channel();
        let job = Box::new(Task {
            need,
            work: Some(work),
            done: None,
            reply,
        });
        jobs.send(job).await.map_err(|_| StorageFault::Stopped)?;
        outcome.await.map_err(|_| StorageFault::Stopped)?
    }

    /// Whether the thread has ended although nobody closed the committer: it
    /// panicked, and takes no more changes.
    pub(crate) fn has_died(&self) -> bool {
        lock(&self.jobs).as_ref().is_some_and(mpsc::Sender::is_closed)
    }

    /// What is stored, as of the last commit.
    pub(crate) fn totals(&self) -> Totals {
        *lock(&self.totals)
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

/// A caller's work with its type taken away.
trait Job: Send {
    fn need(&self) -> Need;
    /// Adds the changes to the group.
    fn apply(&mut self, group: &mut Group<'_>);
    /// Tells the caller what became of it.
    fn reply(self: Box<Self>, commit: &Result<(), StoreError>);
}

struct Task<T, Work> {
    need: Need,
    work: Option<Work>,
    done: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, Work> Job for Task<T, Work>
where
    T: Send,
    Work: FnOnce(&mut Transaction<'_>) -> Result<T, StoreError> + Send,
{
    fn need(&self) -> Need {
        self.need
    }

    fn apply(&mut self, group: &mut Group<'_>) {
        self.done = self.work.take().map(|work| group.apply(work));
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
    space: Space,
    totals: Arc<Mutex<Totals>>,
    state: WriteState,
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
        let mut group = Group::new(&*self.engine, *lock(&self.totals));
        let space = self.space.check(GROUP_BYTES as u64);
        let mut jobs = Vec::new();
        let mut next = Some(first);
        while let Some(mut job) = next {
            match &space {
                Err(full) if job.need() == Need::Space => job.reply(&Err(repeat(full))),
                _ => {
                    job.apply(&mut group);
                    jobs.push(job);
                }
            }
            next = (group.changes.bytes() < GROUP_BYTES)
                .then(|| queue.try_recv().ok())
                .flatten();
        }
        let frees_room = jobs.iter().all(|job| job.need() == Need::Nothing);
        let committed = self.commit(group, frees_room);
        let callers = jobs.len();
        for job in jobs {
            job.reply(&committed);
        }
        callers
    }

    fn commit(&self, group: Group<'_>, frees_room: bool) -> Result<(), StoreError> {
        let Group {
            mut changes, totals, ..
        } = group;
        if changes.is_empty() {
            return Ok(());
        }
        if totals != *lock(&self.totals) {
            totals.write(&mut changes);
        }
        let changes = changes.into_list();
        let copies = changes.iter().map(Change::clone_shallow).collect();
        let committed = match self.engine.commit(copies) {
            // There may be room now that was kept for this.
            Err(StoreError::Full) if frees_room => {
                self.engine.make_room();
                self.engine.commit(changes)
            }
            other => other,
        };
        match &committed {
            Ok(()) => {
                self.state.succeeded();
                *lock(&self.totals) = totals;
            }
            Err(error) => {
                // It may turn out to have been made: its positions are not given out again.
                lock(&self.totals).noted = totals.noted;
                self.state.failed(error);
                tracing::error!(%error, "the object store could not commit");
            }
        }
        committed
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
