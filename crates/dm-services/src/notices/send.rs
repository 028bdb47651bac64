//! Sends what is to be told, again and again until the addressee has it.

use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};

use alloy_primitives::Address;
use dm_core::{
    clock::now_ms,
    envelope::{ObjectId, SignedEnvelope},
    hash::DataHash,
    journal::{JournalEvent, Topics},
    letter::Letter,
    ports::NetworkError,
};
use futures::{FutureExt, StreamExt, stream::FuturesUnordered};

use super::{
    Notices, notice_of,
    outbox::{Due, LetterKind},
};
use crate::{ServiceError, pauses::Attempts};

/// Events that are read from the journal at once.
const PAGE: usize = 256;
/// Letters that are sent at the same time.
const AT_ONCE: usize = 32;
/// First and longest pause where nobody has taken a letter.
const UNHEARD: (u64, u64) = (30_000, 3_600_000);
/// First and longest pause where other peers keep it for the addressee.
const KEPT: (u64, u64) = (600_000, 24 * 3_600_000);
/// First and longest pause until an envelope says what has been decided.
const UNSPREAD: (u64, u64) = (250, 3_600_000);
/// How often an envelope is looked at that does not say yet that a share has ended: for a
/// good hour.
const MAX_WAITS: u32 = 15;
/// Recipients of one piece of data that are told of its end.
const MAX_RECIPIENTS: usize = 10_000;
/// Longest sleep: the clock of the machine may be set.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// What others are told of.
const SHARED: &str = "data.shared";
const ANCHORED: &str = "share.anchored";
const REVOKED: &str = "data.revoked";
const ERASED: &str = "data.erased";
const ACKNOWLEDGED: &str = "data.acknowledged";

/// What is sent for an entry of the outbox.
enum Prepared {
    Ready(Letter),
    /// Something is still to come, for which these are the first and the longest pause.
    Later((u64, u64)),
    /// There is nothing to say any more.
    Over,
}

/// What came of an attempt to send a letter, and what is to be sent again.
type Sent = Result<(Due, Option<Due>), ServiceError>;

impl Notices {
    /// Puts what happens into the outbox.
    pub(super) async fn take_all_news(&self) -> Result<(), ServiceError> {
        let mut growth = self.ports.journal.journal_growth();
        loop {
            growth.mark_unchanged();
            self.take_news().await?;
            tokio::select! {
                grown = growth.changed() => if grown.is_err() {
                    // The catalog is closed.
                    return Ok(());
                },
                recipients = self.ports.late_grants.next() => {
                    self.outbox.lock().await.hurry(&recipients, now_ms()).await?;
                    self.bell.notify_one();
                }
            }
        }
    }

    /// Puts what has happened since the last time into the outbox.
    async fn take_news(&self) -> Result<(), ServiceError> {
        let journal = &self.ports.journal;
        // Names of the journal are always valid.
        let topics = Topics::new([SHARED, ANCHORED, REVOKED, ERASED, ACKNOWLEDGED]).unwrap_or_default();
        loop {
            let read_to = self.outbox.lock().await.read_to();
            // A catalog that was restored may be behind.
            let after = read_to.min(journal.journal_extent().await?.last);
            let page = journal.journal_page(&topics, after, PAGE).await?;
            if page.read_to == read_to {
                return Ok(());
            }
            let mut new = Vec::new();
            for event in &page.events {
                new.extend(self.due_of(event).await?);
            }
            self.outbox.lock().await.add(&new, page.read_to).await?;
            self.bell.notify_one();
        }
    }

    /// Sends what is due, as it becomes due. A letter that takes long holds up no others.
    pub(super) async fn send_all(&self) -> Result<(), ServiceError> {
        let (mut sending, mut under_way) = (FuturesUnordered::new(), HashSet::new());
        loop {
            let (begun, pause) = self.next_due(&under_way).await?;
            under_way.extend(begun.iter().map(Due::key));
            sending.extend(begun.into_iter().map(|due| self.attempt(due)));
            let sent = tokio::select! {
                Some(sent) = sending.next() => sent,
                () = self.bell.notified() => continue,
                () = tokio::time::sleep(pause) => continue,
            };
            let mut done = vec![sent?];
            // All that are done are taken out of the outbox in one change.
            while let Some(Some(sent)) = sending.next().now_or_never() {
                done.push(sent?);
            }
            for (due, _) in &done {
                under_way.remove(&due.key());
            }
            self.outbox.lock().await.replace(done).await?;
        }
    }

    /// What is due and not under way, as much as may be begun; and how long to sleep if nothing
    /// happens.
    async fn next_due(&self, under_way: &HashSet<Vec<u8>>) -> Result<(Vec<Due>, Duration), ServiceError> {
        let now = now_ms();
        let mut next = self.outbox.lock().await.first(2 * AT_ONCE).await?;
        next.retain(|due| !under_way.contains(&due.key()));
        let later = next.iter().map(|due| due.at).find(|at| *at > now);
        next.retain(|due| due.at <= now);
        next.truncate(AT_ONCE.saturating_sub(under_way.len()));
        let pause = later.map_or(LONGEST_SLEEP, |at| Duration::from_millis(at - now));
        Ok((next, pause.min(LONGEST_SLEEP)))
    }

    async fn attempt(&self, due: Due) -> Sent {
        let again = self.send(&due).await?;
        Ok((due, again))
    }

    /// The letters about an event.
    async fn due_of(&self, event: &JournalEvent) -> Result<Vec<Due>, ServiceError> {
        let Some(data_hash) = event.subject else {
            return Ok(Vec::new());
        };
        let account = |name: &str| event.data[name].as_str().and_then(|text| text.parse().ok());
        let to = |name: &str| Vec::from_iter(account(name));
        let (kind, addressees): (_, Vec<Address>) = match event.topic.as_str() {
            SHARED => (LetterKind::Share, to("recipient")),
            ANCHORED => (LetterKind::Receipt, to("recipient")),
            REVOKED => (LetterKind::End, to("recipient")),
            ERASED => (LetterKind::End, self.recipients_of(&data_hash).await?),
            _ => (LetterKind::Acknowledgement, to("owner")),
        };
        // This node has shared it with itself, or was told of its own object.
        let others = addressees.into_iter().filter(|addressee| *addressee != self.own);
        let due = others.map(|addressee| Due {
            at: now_ms(),
            kind,
            addressee,
            locator: data_hash.locator(),
            attempts: Attempts::none(event.at),
            is_kept: false,
        });
        Ok(due.collect())
    }

    /// Those with whom the data was shared, each once.
    async fn recipients_of(&self, data_hash: &DataHash) -> Result<Vec<Address>, ServiceError> {
        let shares = self.ports.sent.sent_shares_of(data_hash, MAX_RECIPIENTS).await?;
        let recipients: BTreeSet<Address> = shares.into_iter().map(|share| share.recipient).collect();
        Ok(recipients.into_iter().collect())
    }

    /// Sends one letter; what is to be sent again, and when.
    async fn send(&self, due: &Due) -> Result<Option<Due>, ServiceError> {
        let now = now_ms();
        let prepared = match due.kind {
            LetterKind::Share | LetterKind::Receipt => self.notice(due, now).await?,
            LetterKind::End => self.notice_of_end(due, now).await?,
            LetterKind::Acknowledgement => self.acknowledgement(due, now).await?,
        };
        let letter = match prepared {
            Prepared::Ready(letter) => letter,
            Prepared::Later(pauses) => return Ok(Some(again(due, pauses, now))),
            Prepared::Over => return Ok(None),
        };
        match self.ports.network.send(&letter).await {
            Ok(report) if report.delivered => {
                self.note_told(due).await?;
                Ok(None)
            }
            Ok(report) => Ok(Some(undelivered(due, report.kept > 0, now))),
            Err(NetworkError::Stopped) => Ok(Some(due.clone())),
            Err(error) => {
                tracing::debug!(addressee = %due.addressee, %error, "a letter was not sent");
                Ok(Some(undelivered(due, false, now)))
            }
        }
    }

    /// Keeps that a recipient was told of its share.
    async fn note_told(&self, due: &Due) -> Result<(), ServiceError> {
        let told = [(due.locator, due.addressee)];
        match due.kind {
            LetterKind::Share => Ok(self.ports.sent.note_notified(&told, now_ms()).await?),
            LetterKind::Receipt | LetterKind::End | LetterKind::Acknowledgement => Ok(()),
        }
    }

    /// That something was shared, as its envelope says now.
    async fn notice(&self, due: &Due, now: u64) -> Result<Prepared, ServiceError> {
        let envelope = self.envelope(due, now).await?;
        let Some(envelope) = envelope.filter(|envelope| !envelope.is_gone(now)) else {
            return Ok(Prepared::Over);
        };
        if !envelope.grants_to(due.addressee) {
            return Ok(match due.kind {
                // The recipient's key may not be known yet.
                LetterKind::Share => Prepared::Later(UNHEARD),
                // Whoever learns of the share later learns of the receipt with it.
                _ => Prepared::Over,
            });
        }
        let shares = &self.ports.shares;
        if due.kind == LetterKind::Receipt && !shares.is_receipt_spread(&due.locator, due.addressee).await? {
            return Ok(Prepared::Later(UNSPREAD));
        }
        self.speak_of(&envelope, due, now)
    }

    /// That data was erased, or the recipient's access withdrawn.
    async fn notice_of_end(&self, due: &Due, now: u64) -> Result<Prepared, ServiceError> {
        match self.envelope(due, now).await? {
            Some(envelope) if envelope.is_tombstone() || !envelope.grants_to(due.addressee) => {
                self.speak_of(&envelope, due, now)
            }
            // The end is decided before the envelope has it, or it was shared again.
            Some(_) if due.attempts.failed < MAX_WAITS => Ok(Prepared::Later(UNSPREAD)),
            _ => Ok(Prepared::Over),
        }
    }

    /// The envelope that a letter to a recipient is about, while that is still told.
    async fn envelope(&self, due: &Due, now: u64) -> Result<Option<SignedEnvelope>, ServiceError> {
        if now >= due.attempts.end() {
            return Ok(None);
        }
        let object = ObjectId {
            locator: due.locator,
            owner: self.own,
        };
        Ok(self.ports.objects.envelope(&object).await?)
    }

    fn speak_of(&self, envelope: &SignedEnvelope, due: &Due, now: u64) -> Result<Prepared, ServiceError> {
        let signer = self.ports.signer.as_ref();
        let letter = notice_of(signer, envelope, due.addressee, now..due.attempts.end())?;
        Ok(Prepared::Ready(letter))
    }

    /// That this node has read something, as it has said once.
    async fn acknowledgement(&self, due: &Due, now: u64) -> Result<Prepared, ServiceError> {
        let object = ObjectId {
            locator: due.locator,
            owner: due.addressee,
        };
        let delivery = self.ports.deliveries.own(&object).await?;
        Ok(match delivery {
            Some(delivery) if delivery.statement.is_current(now) => {
                Prepared::Ready(delivery.statement.into())
            }
            _ => Prepared::Over,
        })
    }
}

/// The same once more: the addressee does not have it yet, though peers may keep it.
fn undelivered(due: &Due, is_kept: bool, now: u64) -> Due {
    let is_kept = is_kept || due.is_kept;
    Due {
        is_kept,
        ..again(due, if is_kept { KEPT } else { UNHEARD }, now)
    }
}

/// The same once more, after a pause that is longer each time.
fn again(due: &Due, pauses: (u64, u64), now: u64) -> Due {
    let mut attempts = due.attempts;
    Due {
        at: attempts.fail(now, pauses),
        attempts,
        ..due.clone()
    }
}
