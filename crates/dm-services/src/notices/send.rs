//! Sends what is to be told, again and again until the addressee has it.

use std::time::Duration;

use dm_core::{
    clock::now_ms,
    envelope::ObjectId,
    journal::{JournalEvent, Topics},
    letter::Letter,
    notice::Notice,
    ports::NetworkError,
    signed::Signed,
};
use futures::{StreamExt, stream};

use super::{
    GIVE_UP_AFTER, Notices,
    outbox::{Attempts, Due, LetterKind},
};
use crate::ServiceError;

/// Events that are read from the journal at once.
const PAGE: usize = 256;
/// Letters that are sent in one round, and at the same time.
const ROUND: usize = 64;
const AT_ONCE: usize = 16;
/// First and longest pause where nobody has taken a letter.
const UNHEARD: (u64, u64) = (30_000, 3_600_000);
/// First and longest pause where other peers keep it for the addressee.
const KEPT: (u64, u64) = (600_000, 24 * 3_600_000);
/// Longest sleep: the clock of the machine may be set.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// What others are told of.
const SHARED: &str = "data.shared";
const ACKNOWLEDGED: &str = "data.acknowledged";

/// What is sent for an entry of the outbox.
enum Prepared {
    Ready(Letter),
    /// Something is still to come.
    Later,
    /// There is nothing to say any more.
    Over,
}

impl Notices {
    pub(super) async fn send_all(&self) -> Result<(), ServiceError> {
        let mut growth = self.ports.journal.journal_growth();
        loop {
            growth.mark_unchanged();
            self.take_news().await?;
            let next = self.send_due().await?;
            let pause = next.map_or(LONGEST_SLEEP, |at| {
                Duration::from_millis(at.saturating_sub(now_ms())).min(LONGEST_SLEEP)
            });
            tokio::select! {
                grown = growth.changed() => if grown.is_err() {
                    // The catalog is closed.
                    return Ok(());
                },
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Puts what has happened since the last time into the outbox.
    async fn take_news(&self) -> Result<(), ServiceError> {
        let journal = &self.ports.journal;
        // Names of the journal are always valid.
        let topics = Topics::new([SHARED, ACKNOWLEDGED]).unwrap_or_default();
        let mut outbox = self.outbox.lock().await;
        loop {
            // A catalog that was restored may be behind.
            let after = outbox.read_to().min(journal.journal_extent().await?.last);
            let page = journal.journal_page(&topics, after, PAGE).await?;
            if page.read_to == outbox.read_to() {
                return Ok(());
            }
            let new: Vec<Due> = page
                .events
                .iter()
                .filter_map(|event| self.due_of(event))
                .collect();
            outbox.add(&new, page.read_to).await?;
        }
    }

    fn due_of(&self, event: &JournalEvent) -> Option<Due> {
        let account = |name: &str| event.data[name].as_str()?.parse().ok();
        let (kind, addressee) = match event.topic.as_str() {
            SHARED => (LetterKind::Notice, account("recipient")?),
            _ => (LetterKind::Acknowledgement, account("owner")?),
        };
        // This node has shared it with itself, or was told of its own object.
        if addressee == self.own {
            return None;
        }
        Some(Due {
            at: now_ms(),
            kind,
            addressee,
            locator: event.subject?.locator(),
            attempts: Attempts {
                since: event.at,
                failed: 0,
                is_kept: false,
            },
        })
    }

    /// Sends what is due; when the next one is.
    async fn send_due(&self) -> Result<Option<u64>, ServiceError> {
        loop {
            let mut first = self.outbox.lock().await.first(ROUND).await?;
            let next = first.iter().map(|due| due.at).find(|at| *at > now_ms());
            first.retain(|due| due.at <= now_ms());
            if first.is_empty() {
                return Ok(next);
            }
            let sent: Vec<_> = stream::iter(first)
                .map(|due| async move {
                    let again = self.send(&due).await?;
                    Ok::<_, ServiceError>((due, again))
                })
                .buffer_unordered(AT_ONCE)
                .collect()
                .await;
            let done = sent.into_iter().collect::<Result<Vec<_>, _>>()?;
            self.outbox.lock().await.replace(done).await?;
        }
    }

    /// Sends one letter; what is to be sent again, and when.
    async fn send(&self, due: &Due) -> Result<Option<Due>, ServiceError> {
        let now = now_ms();
        let prepared = match due.kind {
            LetterKind::Notice => self.notice(due, now).await?,
            LetterKind::Acknowledgement => self.acknowledgement(due, now).await?,
        };
        let letter = match prepared {
            Prepared::Ready(letter) => letter,
            Prepared::Later => return Ok(Some(again(due, false, now))),
            Prepared::Over => return Ok(None),
        };
        match self.ports.network.send(&letter).await {
            Ok(report) if report.delivered => {
                self.note_told(due).await?;
                Ok(None)
            }
            Ok(report) => Ok(Some(again(due, report.kept > 0, now))),
            Err(NetworkError::Stopped) => Ok(Some(due.clone())),
            Err(error) => {
                tracing::debug!(addressee = %due.addressee, %error, "a letter was not sent");
                Ok(Some(again(due, false, now)))
            }
        }
    }

    /// Keeps that a recipient was told of its share.
    async fn note_told(&self, due: &Due) -> Result<(), ServiceError> {
        let told = [(due.locator, due.addressee)];
        match due.kind {
            LetterKind::Notice => Ok(self.ports.sent.note_notified(&told, now_ms()).await?),
            LetterKind::Acknowledgement => Ok(()),
        }
    }

    /// That something was shared, as its envelope says now.
    async fn notice(&self, due: &Due, now: u64) -> Result<Prepared, ServiceError> {
        let end = due.attempts.since.saturating_add(GIVE_UP_AFTER);
        let object = ObjectId {
            locator: due.locator,
            owner: self.own,
        };
        let envelope = self.ports.objects.envelope(&object).await?;
        let Some(envelope) = envelope.filter(|envelope| now < end && !envelope.is_gone(now)) else {
            return Ok(Prepared::Over);
        };
        // The recipient's key may not be known yet.
        if !envelope.grants_to(due.addressee) {
            return Ok(Prepared::Later);
        }
        let notice = Notice {
            sender: self.own,
            recipient: due.addressee,
            object,
            sequence: envelope.sequence,
            made_at: now,
            ends_at: envelope.expires_at.map_or(end, |at| at.min(end)),
        };
        let notice = Signed::sign(notice, self.ports.signer.as_ref())?;
        Ok(Prepared::Ready(notice.into()))
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

/// The same once more, after a pause.
fn again(due: &Due, is_kept: bool, now: u64) -> Due {
    let is_kept = is_kept || due.attempts.is_kept;
    let (first, longest) = if is_kept { KEPT } else { UNHEARD };
    let pause = first
        .saturating_mul(1 << due.attempts.failed.min(16))
        .min(longest);
    Due {
        at: now + pause,
        attempts: Attempts {
            failed: due.attempts.failed.saturating_add(1),
            is_kept,
            ..due.attempts
        },
        ..due.clone()
    }
}
