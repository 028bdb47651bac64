//! The only task that writes: it commits whatever waits together, so that many
//! callers share the cost of one durable commit.

use std::{sync::Arc, time::Duration};

use dm_core::ports::CatalogError;
use sqlx::{Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use super::{
    batch,
    cache::ReadableCache,
    change::{Change, Outcome},
    copy::CopyJob,
    error::failed,
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

type Reply = oneshot::Sender<Result<Outcome, CatalogError>>;

enum Message {
    Write(Change, Reply),
    Copy(CopyJob, oneshot::Sender<Result<(), CatalogError>>),
    Close(oneshot::Sender<Result<(), CatalogError>>),
}

/// Hands changes to the task that writes; cheap to clone. The task ends when
/// the last handle is dropped.
#[derive(Clone)]
pub(super) struct Writer {
    messages: mpsc::Sender<Message>,
}

impl Writer {
    /// Starts the task on its own connection.
    pub(super) fn start(connection: SqliteConnection, cache: Arc<ReadableCache>) -> Self {
        let (messages, inbox) = mpsc::channel(QUEUE);
        tokio::spawn(WriterTask { connection, cache }.run(inbox));
        Self { messages }
    }

    /// Makes a change; it is durable when this returns. A caller that goes
    /// away meanwhile does not take the change back.
    pub(super) async fn write(&self, change: Change) -> Result<Outcome, CatalogError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.messages.send(Message::Write(change, reply)).await;
        sent.map_err(|_| failed("the catalog is closed"))?;
        match answer.await {
            Ok(Ok(Outcome::Refused(reason))) => Err(CatalogError::Conflict(reason)),
            Ok(result) => result,
            Err(_) => Err(failed("the catalog is closed")),
        }
    }

    /// Makes a copy; nothing is written until it is done.
    pub(super) async fn copy(&self, job: CopyJob) -> Result<(), CatalogError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.messages.send(Message::Copy(job, reply)).await;
        sent.map_err(|_| failed("the catalog is closed"))?;
        answer
            .await
            .unwrap_or_else(|_| Err(failed("the catalog is closed")))
    }

    /// Commits what waits, moves everything from the write-ahead log into the
    /// database, and ends the task. Closing twice is harmless.
    pub(super) async fn close(&self) -> Result<(), CatalogError> {
        let (reply, answer) = oneshot::channel();
        if self.messages.send(Message::Close(reply)).await.is_err() {
            return Ok(());
        }
        answer.await.unwrap_or(Ok(()))
    }
}

struct WriterTask {
    connection: SqliteConnection,
    cache: Arc<ReadableCache>,
}

impl WriterTask {
    async fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        let mut messages = Vec::with_capacity(BATCH);
        let mut crowded = false;
        while inbox.recv_many(&mut messages, BATCH).await > 0 {
            if crowded {
                tokio::time::sleep(LINGER).await;
                take_waiting(&mut inbox, &mut messages);
            }
            crowded = messages.len() >= CROWD;
            let mut writes = Vec::with_capacity(messages.len());
            let mut copies = Vec::new();
            let mut closing = None;
            for message in messages.drain(..) {
                match message {
                    Message::Write(change, reply) => writes.push((change, reply)),
                    Message::Copy(job, reply) => copies.push((job, reply)),
                    Message::Close(reply) => closing = Some(reply),
                }
            }
            self.commit(writes).await;
            for (job, reply) in copies {
                // Who asked may be gone; the copy is of no use to anybody else.
                let _ = reply.send(job.run(&mut self.connection).await);
            }
            if let Some(reply) = closing {
                // Who asked may be gone; the catalog closes all the same.
                let _ = reply.send(self.close().await);
                return;
            }
        }
    }

    /// Commits the writes together. Where the database refuses that, each is
    /// tried alone, so that one bad write does not take the others down.
    async fn commit(&mut self, mut writes: Vec<(Change, Reply)>) {
        if writes.is_empty() {
            return;
        }
        let changes: Vec<&Change> = writes.iter().map(|(change, _)| change).collect();
        match batch::commit(&mut self.connection, &changes).await {
            Ok(outcomes) => {
                self.after_commit(&changes, &outcomes).await;
                for ((_, reply), outcome) in writes.into_iter().zip(outcomes) {
                    answer(reply, Ok(outcome));
                }
            }
            Err(error) => match (writes.len(), writes.pop()) {
                (1, Some((_, reply))) => answer(reply, Err(error)),
                (_, last) => {
                    tracing::warn!(%error, writes = writes.len() + 1, "a group of writes failed; trying each alone");
                    for write in writes.into_iter().chain(last) {
                        Box::pin(self.commit(vec![write])).await;
                    }
                }
            },
        }
    }

    /// Makes the cache agree with the database, and wipes destroyed keys from
    /// the write-ahead log, before anybody learns of the commit.
    async fn after_commit(&mut self, changes: &[&Change], outcomes: &[Outcome]) {
        let mut destroyed = false;
        for (change, outcome) in changes.iter().zip(outcomes) {
            match change {
                Change::PutReadable(object) => self.cache.forget(&object.data_hash),
                Change::CommitShare(share) => self.cache.forget(&share.record.data_hash),
                Change::Rewrap(keys) => keys.iter().for_each(|key| self.cache.forget(&key.data_hash)),
                Change::RemoveReadable(data_hash)
                | Change::BeginErasure(data_hash)
                | Change::AdoptPreparedKey { data_hash, .. } => {
                    self.cache.forget(data_hash);
                    destroyed |= *outcome == Outcome::Existed(true);
                }
                _ => {}
            }
        }
        if destroyed && let Err(error) = empty_log(&mut self.connection).await {
            tracing::warn!(%error, "the write-ahead log keeps a destroyed key until its next checkpoint");
        }
    }

    async fn close(mut self) -> Result<(), CatalogError> {
        // Another process may hold the log; it is read again at the next start.
        if let Err(error) = empty_log(&mut self.connection).await {
            tracing::warn!(%error, "the write-ahead log could not be emptied");
        }
        self.connection.close().await.map_err(super::error::from_sqlx)
    }
}

/// Takes what has come meanwhile, as far as the batch has room.
fn take_waiting(inbox: &mut mpsc::Receiver<Message>, messages: &mut Vec<Message>) {
    while messages.len() < BATCH
        && let Ok(message) = inbox.try_recv()
    {
        messages.push(message);
    }
}

/// Moves the write-ahead log into the database and cuts it to nothing.
async fn empty_log(connection: &mut SqliteConnection) -> Result<(), CatalogError> {
    let (busy, _, _): (i64, i64, i64) = sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)")
        .fetch_one(connection)
        .await
        .map_err(super::error::from_sqlx)?;
    if busy == 0 {
        Ok(())
    } else {
        Err(failed("a reader is using the write-ahead log"))
    }
}

/// The caller may have gone away; what was written stays.
fn answer(reply: Reply, result: Result<Outcome, CatalogError>) {
    let _ = reply.send(result);
}
