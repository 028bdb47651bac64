//! The only task that writes: it commits whatever waits together, so that many
//! callers share the cost of one durable commit.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use dm_core::{instance::InstanceId, lease::current_right, ports::CatalogError};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    batch::Made,
    cache::Caches,
    change::{BulkChange, Change, Fence, OrderedChange, Outcome, SingleChange},
    committer::Committer,
    copy::{CopyJob, Moment, from_store},
    error::{failed, is_of_medium, unavailable},
    meter::CatalogMeter,
    wiping::Wiping,
};

/// Changes in one transaction.
const BATCH: usize = 256;
/// Changes that may wait; callers beyond that wait to hand theirs over.
const QUEUE: usize = 1024;
/// How long a batch stays open where the one before it had [`CROWD`] changes:
/// under load a wait this short saves most of the commits.
const LINGER: Duration = Duration::from_millis(1);
/// Changes in a batch that show that more are about to come. One caller alone
/// makes a few at a time and never waits for others.
const CROWD: usize = 8;
/// Between two attempts to empty the write-ahead log where somebody waits for that.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a copy waits until nobody uses the write-ahead log.
const COPY_PATIENCE: Duration = Duration::from_secs(60);

/// Tells a caller what came of its change.
pub(super) type Reply = oneshot::Sender<Result<Outcome, CatalogError>>;
type CopyReply = oneshot::Sender<Result<(), CatalogError>>;

enum Message {
    Write(Change, Reply),
    Copy(CopyJob, CopyReply),
    Probe(oneshot::Sender<()>),
    Close(CopyReply),
}

/// Hands changes to the task that writes; cheap to clone. The task ends when
/// the last handle is dropped.
#[derive(Clone)]
pub(super) struct Writer {
    messages: mpsc::Sender<Message>,
    meter: Arc<CatalogMeter>,
    /// The instance whose changes are made, where no other one may have led since.
    sole: Option<InstanceId>,
}

impl Writer {
    /// Starts the task on its own connection.
    pub(super) fn start(
        committer: Committer,
        caches: Arc<Caches>,
        journal_growth: watch::Sender<u64>,
    ) -> Self {
        let (messages, inbox) = mpsc::channel(QUEUE);
        let meter = Arc::new(CatalogMeter::default());
        let task = WriterTask {
            committer,
            caches,
            journal_growth,
            wiping: Wiping::owed(),
            copies: Vec::new(),
            next_attempt: Instant::now(),
            meter: meter.clone(),
        };
        tokio::spawn(task.run(inbox));
        Self {
            messages,
            meter,
            sole: None,
        }
    }

    /// The same, whose changes are only made while no other instance has led since this one.
    pub(super) fn while_last_leader(&self, instance: InstanceId) -> Self {
        Self {
            messages: self.messages.clone(),
            meter: self.meter.clone(),
            sole: Some(instance),
        }
    }

    /// Makes a change; it is durable when this returns. A caller that goes
    /// away meanwhile does not take the change back.
    pub(super) async fn write(&self, change: impl Into<Change>) -> Result<Outcome, CatalogError> {
        let right = current_right();
        // Whoever leads is the last who has led.
        let led = right.epoch.map(Fence::Epoch).or(self.sole.map(Fence::Last));
        let fences = led.into_iter().chain(right.standing.map(Fence::Standing));
        let change = fences.fold(change.into(), |change, fence| {
            Change::Fenced(fence, Box::new(change))
        });
        match self.ask(|reply| Message::Write(change, reply)).await?? {
            Outcome::Refused(reason) => Err(CatalogError::Conflict(reason)),
            Outcome::Fenced(Fence::Epoch(epoch)) => Err(CatalogError::NotLeading(epoch)),
            Outcome::Fenced(Fence::Standing(_)) => Err(CatalogError::TurnLost),
            Outcome::Fenced(Fence::Last(_)) => Err(unavailable(
                "another process of this node has taken the database over; this one changes nothing any more",
            )),
            outcome => Ok(outcome),
        }
    }

    /// What was committed since the start.
    pub(super) fn meter(&self) -> &CatalogMeter {
        &self.meter
    }

    /// How many changes wait for the task.
    pub(super) fn waiting(&self) -> usize {
        self.messages.max_capacity() - self.messages.capacity()
    }

    /// Makes a copy, beside what is written.
    pub(super) async fn copy(&self, job: CopyJob) -> Result<(), CatalogError> {
        self.ask(|reply| Message::Copy(job, reply)).await?
    }

    /// Tries whether writes are possible again, where the last one failed.
    pub(super) async fn probe(&self) -> Result<(), CatalogError> {
        self.ask(Message::Probe).await
    }

    /// Says whether anybody can still hand over changes, without being one of them.
    #[cfg(feature = "postgres")]
    pub(super) fn is_in_use(&self) -> impl Fn() -> bool + Send + use<> {
        let messages = self.messages.downgrade();
        move || messages.strong_count() > 0
    }

    /// Commits what waits, moves everything from the write-ahead log into the
    /// database, and ends the task. Closing twice is harmless.
    pub(super) async fn close(&self) -> Result<(), CatalogError> {
        self.ask(Message::Close).await.unwrap_or(Ok(()))
    }

    async fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Result<T, CatalogError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.messages.send(message(reply)).await;
        sent.map_err(|_| failed("the catalog is closed"))?;
        answer.await.map_err(|_| failed("the catalog is closed"))
    }
}

struct WriterTask {
    committer: Committer,
    caches: Arc<Caches>,
    journal_growth: watch::Sender<u64>,
    wiping: Wiping,
    /// Copies that are not begun, and until when they wait.
    copies: Vec<(CopyJob, CopyReply, Instant)>,
    /// When it is tried again to empty the write-ahead log.
    next_attempt: Instant,
    meter: Arc<CatalogMeter>,
}

impl WriterTask {
    async fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        let mut messages = Vec::with_capacity(BATCH);
        let mut crowded = false;
        while receive(&mut inbox, &mut messages, self.wake_at()).await {
            if crowded {
                tokio::time::sleep(LINGER).await;
                take_waiting(&mut inbox, &mut messages);
            }
            crowded = messages.len() >= CROWD;
            let mut writes = Vec::with_capacity(messages.len());
            let mut closing = None;
            for message in messages.drain(..) {
                match message {
                    Message::Write(change, reply) => writes.push((change, reply)),
                    Message::Copy(job, reply) => {
                        self.copies.push((job, reply, Instant::now() + COPY_PATIENCE));
                        self.next_attempt = Instant::now();
                    }
                    Message::Probe(reply) => {
                        self.committer.probe().await;
                        // Who asked may be gone.
                        let _ = reply.send(());
                    }
                    Message::Close(reply) => closing = Some(reply),
                }
            }
            self.commit_all(writes).await;
            self.use_empty_log().await;
            if let Some(reply) = closing {
                // Who asked may be gone; the catalog closes all the same.
                let _ = reply.send(self.close().await);
                return;
            }
        }
    }

    /// When to try the write-ahead log again, where somebody waits for that.
    fn wake_at(&self) -> Option<Instant> {
        let is_waited_for = !self.copies.is_empty() || self.wiping.is_waited_for();
        is_waited_for.then_some(self.next_attempt)
    }

    /// Commits what there is room for, and answers for the rest.
    async fn commit_all(&mut self, mut writes: Vec<(Change, Reply)>) {
        if let Err(full) = self.committer.check_space() {
            writes = refuse(writes, Change::needs_space, &full);
        }
        if writes.iter().any(|(change, _)| change.ends_erasure())
            && let Err(error) = self.wipe().await
        {
            writes = refuse(writes, Change::ends_erasure, &error);
        }
        self.commit(writes).await;
    }

    /// Commits the writes together. Where a change is at fault, each is tried
    /// alone, so that one bad write does not take the others down; where the
    /// medium is, only what may use the last of its room is tried once more.
    async fn commit(&mut self, writes: Vec<(Change, Reply)>) {
        if writes.is_empty() {
            return;
        }
        let changes: Vec<&Change> = writes.iter().map(|(change, _)| change).collect();
        let started = Instant::now();
        let committed = self.committer.commit(&changes).await;
        let commits = &self.meter.commits;
        commits.note(changes.len(), started.elapsed(), committed.is_ok());
        let error = match committed {
            Ok(made) => return self.after_commit(writes, made).await,
            Err(error) => error,
        };
        if !is_of_medium(&error) && writes.len() > 1 {
            tracing::warn!(%error, writes = writes.len(), "a group of writes failed; trying each alone");
            for write in writes {
                Box::pin(self.commit(vec![write])).await;
            }
            return;
        }
        let is_mixed = !writes.iter().all(|(change, _)| !change.needs_space());
        let rest = match error {
            CatalogError::Full if is_mixed => refuse(writes, Change::needs_space, &error),
            _ => refuse(writes, |_| true, &error),
        };
        Box::pin(self.commit(rest)).await;
    }

    /// Makes the cache agree with the database before anybody learns of the
    /// commit, and answers. Who destroys a key waits until no file holds it.
    async fn after_commit(&mut self, writes: Vec<(Change, Reply)>, made: Made) {
        if let Some(end) = made.journal_end {
            self.journal_growth.send_replace(end);
        }
        made.news
            .all()
            .iter()
            .for_each(|traced| self.meter.note(&traced.news));
        let mut destroyed = Vec::new();
        for ((change, reply), outcome) in writes.into_iter().zip(made.outcomes) {
            match change.unfenced() {
                Change::Bulk(BulkChange::PutReadable(object)) => {
                    self.caches.readable.forget(&object.id.locator);
                }
                Change::Bulk(BulkChange::CommitShare(share)) => {
                    self.caches.readable.forget(&share.record.data_hash.locator());
                }
                Change::Single(SingleChange::PutContact(_) | SingleChange::RemoveContact(_)) => {
                    self.caches.contacts.forget_all();
                }
                Change::Single(SingleChange::Rewrap(keys)) => {
                    keys.iter()
                        .for_each(|key| self.caches.readable.forget(&key.data_hash.locator()));
                }
                Change::Ordered(
                    OrderedChange::RemoveReadable(data_hash)
                    | OrderedChange::BeginErasure { data_hash, .. }
                    | OrderedChange::AdoptPreparedKey { data_hash, .. },
                ) => {
                    self.caches.readable.forget(&data_hash.locator());
                    if outcome == Outcome::Existed(true) || self.wiping.is_owed() {
                        destroyed.push((reply, outcome));
                        continue;
                    }
                }
                _ => {}
            }
            answer(reply, Ok(outcome));
        }
        if !destroyed.is_empty() {
            self.wiping.wait(destroyed);
            self.next_attempt = Instant::now();
        }
    }

    /// Does what needs an empty write-ahead log, where somebody waits for it.
    async fn use_empty_log(&mut self) {
        if self.wake_at().is_none_or(|at| at > Instant::now()) {
            return;
        }
        let emptied = self.wipe().await;
        self.next_attempt = Instant::now() + PAUSE;
        if let Err(error) = emptied {
            self.wiping.give_up_late(&error);
            self.give_up_late_copies();
            return;
        }
        for (job, reply, _) in std::mem::take(&mut self.copies) {
            self.begin_copy(job, reply).await;
        }
    }

    async fn wipe(&mut self) -> Result<(), CatalogError> {
        self.committer.wipe().await?;
        self.wiping.done();
        Ok(())
    }

    /// Holds this moment of the catalog, awaits what else belongs to it, and has
    /// the rest of the copy made beside what is written from now on.
    async fn begin_copy(&mut self, job: CopyJob, reply: CopyReply) {
        let Some(place) = self.committer.place() else {
            let why = "the database's server makes its own copies, such as pg_basebackup";
            let _ = reply.send(Err(unavailable(why)));
            return;
        };
        let moment = match Moment::hold(&place.path).await {
            Ok(moment) => moment,
            Err(error) => {
                let _ = reply.send(Err(error));
                return;
            }
        };
        if let Err(error) = job.meanwhile.await {
            let _ = reply.send(Err(from_store(error)));
            return;
        }
        let database = place.file.clone();
        tokio::spawn(async move {
            // Who asked may be gone; the copy is of no use to anybody else.
            let _ = reply.send(moment.copy(database, job.file).await);
        });
    }

    fn give_up_late_copies(&mut self) {
        let now = Instant::now();
        for (_, reply, _) in self.copies.extract_if(.., |(_, _, until)| *until <= now) {
            let why = "another program reads the catalog, so that no copy can be begun";
            let _ = reply.send(Err(unavailable(why)));
        }
    }

    async fn close(mut self) -> Result<(), CatalogError> {
        // Another process may hold the log; it is read again at the next start.
        if let Err(error) = self.wipe().await {
            tracing::warn!(%error, "the write-ahead log could not be emptied");
        }
        self.committer.close().await
    }
}

/// Waits for messages, at most until then. False when nobody can send any more.
async fn receive(
    inbox: &mut mpsc::Receiver<Message>,
    messages: &mut Vec<Message>,
    until: Option<Instant>,
) -> bool {
    let receiving = inbox.recv_many(messages, BATCH);
    match until {
        None => receiving.await > 0,
        Some(until) => {
            let received = tokio::time::timeout_at(until.into(), receiving).await;
            received.map_or(true, |count| count > 0)
        }
    }
}

/// Answers to some of the writes that they are not made; the others are left.
fn refuse(
    writes: Vec<(Change, Reply)>,
    refused: impl Fn(&Change) -> bool,
    error: &CatalogError,
) -> Vec<(Change, Reply)> {
    let mut left = Vec::with_capacity(writes.len());
    for (change, reply) in writes {
        if refused(&change) {
            answer(reply, Err(error.repeated()));
        } else {
            left.push((change, reply));
        }
    }
    left
}

/// Takes what has come meanwhile, as far as the batch has room.
fn take_waiting(inbox: &mut mpsc::Receiver<Message>, messages: &mut Vec<Message>) {
    while messages.len() < BATCH
        && let Ok(message) = inbox.try_recv()
    {
        messages.push(message);
    }
}

/// The caller may have gone away; what was written stays.
pub(super) fn answer(reply: Reply, result: Result<Outcome, CatalogError>) {
    let _ = reply.send(result);
}
