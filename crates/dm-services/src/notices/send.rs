//! Sends what is to be told, again and again until the addressee has it.

use std::{collections::BTreeSet, time::Duration};

use alloy_primitives::Address;
use dm_core::{
    clock::now_ms,
    envelope::{ObjectId, SignedEnvelope},
    hash::{DataHash, Locator},
    journal::{JournalEvent, Topics},
    letter::Letter,
    ports::{JOURNAL_WINDOW, NetworkError, NoticeReport},
};
use tokio::{sync::Mutex, time::Instant};

use super::{
    ALONE, Notices,
    granted_meanwhile::GrantedMeanwhile,
    notice_of,
    outbox::{Due, LetterKind, LetterState, Outbox},
};
use crate::{
    ServiceError,
    late_news::Tellable,
    pauses::Attempts,
    running::{Limits, Running},
};

/// Events that are read from the journal at once.
const PAGE: usize = 256;
/// Batches of letters that are under way at the same time.
const AT_ONCE: Limits = Limits {
    in_all: 32,
    of_one: 4,
};
/// Letters that are sent to one addressee together.
const TOGETHER: usize = 64;
/// What becomes due while letters to its addressee are under way waits so long for their end, and
/// goes together with what comes after it.
const PATIENCE: Duration = Duration::from_millis(200);
/// Letters that are looked at in the outbox besides those that are under way.
const ROUND: usize = 256;
/// First and longest pause where nobody has taken a letter, or there is nothing to say yet.
const UNHEARD: (u64, u64) = (30_000, 3_600_000);
/// First and longest pause where other peers keep it for the addressee.
const KEPT: (u64, u64) = (600_000, 24 * 3_600_000);
/// First and longest pause until an envelope says that a share has ended.
const UNSPREAD: (u64, u64) = (250, 3_600_000);
/// First and longest pause until an envelope has a receipt, where nobody tells that it has.
const UNRECEIPTED: (u64, u64) = (5_000, 3_600_000);
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
    /// The recipient's key may not be known yet.
    Ungranted,
    /// The envelope does not say yet what has been decided.
    Unspread,
    /// There is nothing to say any more.
    Over,
}

/// The batches of letters that are under way, each to one addressee; of those that have ended, when
/// they began.
type Sending<'a> = Running<'a, Vec<u8>, (Instant, Vec<Sent>)>;

/// What came of an attempt to send a letter: the letter, and what is to be sent again of it.
pub(super) type Sent = (Due, Option<Due>);

impl Notices {
    /// Puts what happens into the outbox.
    pub(super) async fn take_all_news(&self, outbox: &Mutex<Outbox>) -> Result<(), ServiceError> {
        let mut growth = self.ports.journal.journal_growth();
        let last = self.ports.journal.journal_extent().await?.last;
        outbox.lock().await.read_at_most_to(last);
        loop {
            growth.mark_unchanged();
            self.take_news(outbox).await?;
            if growth.changed().await.is_err() {
                // The catalog is closed.
                return Ok(());
            }
        }
    }

    /// Puts what has happened since the last time into the outbox.
    async fn take_news(&self, outbox: &Mutex<Outbox>) -> Result<(), ServiceError> {
        let journal = &self.ports.journal;
        // Names of the journal are always valid.
        let topics = Topics::new([SHARED, ANCHORED, REVOKED, ERASED, ACKNOWLEDGED]).unwrap_or_default();
        loop {
            let after = outbox.lock().await.read_to();
            let page = journal.journal_page(&topics, after, PAGE).await?;
            if page.read_to == after {
                return Ok(());
            }
            let mut new = Vec::new();
            for event in &page.events {
                new.extend(self.due_of(event).await?);
            }
            outbox.lock().await.add(&new, page.read_to).await?;
            self.bell.notify_one();
            if page.events.len() < PAGE && page.read_to < after.saturating_add(JOURNAL_WINDOW) {
                // The journal ends here.
                return Ok(());
            }
        }
    }

    /// Sends what is due, as it becomes due: to each addressee together what waits for it. A
    /// letter that takes long holds up no others.
    pub(super) async fn send_all(&self, outbox: &Mutex<Outbox>) -> Result<(), ServiceError> {
        let (mut sending, mut granted) = (Running::new(AT_ONCE), GrantedMeanwhile::default());
        loop {
            let pause = match self.ports.network.has_peers() {
                true => self.begin_due(outbox, &mut sending).await?,
                false => ALONE,
            };
            tokio::select! {
                Some(ended) = sending.ended() => {
                    let sent = granted.hurry(ended?, now_ms());
                    granted.forget_all_but(|recipient| sending.newest(recipient).is_some());
                    outbox.lock().await.replace(sent).await?;
                }
                news = self.ports.late_news.next() => {
                    let Tellable { granted: recipients, receipts } = news;
                    outbox.lock().await.hear(&recipients, &receipts, now_ms()).await?;
                    let under_way = recipients.into_iter().filter(|recipient| sending.newest(recipient).is_some());
                    granted.note(under_way, Instant::now());
                }
                () = self.bell.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Begins to send what is due, as much as may be begun; how long nothing more is to be begun.
    async fn begin_due<'a>(
        &'a self,
        outbox: &Mutex<Outbox>,
        sending: &mut Sending<'a>,
    ) -> Result<Duration, ServiceError> {
        let now = now_ms();
        let limit = sending.entries() + ROUND;
        let (mut due, next) = outbox.lock().await.due(now, limit).await?;
        let until_next = next.map_or(LONGEST_SLEEP, |at| Duration::from_millis(at - now));
        due.retain(|letter| !sending.contains(&letter.key()));
        let mut left = due.len();
        for (addressee, batch) in by_addressee(due) {
            let is_early = sending.newest(&addressee).is_some_and(|ago| ago < PATIENCE);
            if !is_early && sending.has_room_for(&addressee) && !sending.is_full() {
                left -= batch.len();
                let (began, keys) = (Instant::now(), batch.iter().map(Due::key).collect());
                let attempt = async move { self.attempt(batch).await.map(|sent| (began, sent)) };
                sending.begin(addressee, keys, attempt);
            }
        }
        let until_room = if left == 0 { LONGEST_SLEEP } else { PATIENCE };
        Ok(until_next.min(until_room).min(LONGEST_SLEEP))
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
        let at = match kind {
            // The envelope has it a little later; who adds it tells so.
            LetterKind::Receipt => now_ms().saturating_add(UNRECEIPTED.0),
            _ => now_ms(),
        };
        let due = others.map(|addressee| Due {
            at,
            kind,
            addressee,
            locator: data_hash.locator(),
            attempts: Attempts::none(event.at),
            state: LetterState::Unsent,
        });
        Ok(due.collect())
    }

    /// Those with whom the data was shared, each once.
    async fn recipients_of(&self, data_hash: &DataHash) -> Result<Vec<Address>, ServiceError> {
        let shares = self.ports.sent.sent_shares_of(data_hash, MAX_RECIPIENTS).await?;
        let recipients: BTreeSet<Address> = shares.into_iter().map(|share| share.recipient).collect();
        Ok(recipients.into_iter().collect())
    }

    /// Sends letters that have one addressee; each of them, and what is to be sent again of it.
    async fn attempt(&self, batch: Vec<Due>) -> Result<Vec<Sent>, ServiceError> {
        let now = now_ms();
        let (mut done, mut ready, mut letters) = (Vec::new(), Vec::new(), Vec::new());
        for due in batch {
            match self.prepare(&due, now).await? {
                Prepared::Ready(letter) => {
                    letters.push(letter);
                    ready.push(due);
                }
                Prepared::Ungranted => {
                    let ungranted = Due {
                        state: LetterState::Ungranted,
                        ..again(&due, UNHEARD, now)
                    };
                    done.push((due, Some(ungranted)));
                }
                Prepared::Unspread => {
                    let pauses = match due.kind {
                        LetterKind::Receipt => UNRECEIPTED,
                        _ => UNSPREAD,
                    };
                    let again = again(&due, pauses, now);
                    done.push((due, Some(again)));
                }
                Prepared::Over => done.push((due, None)),
            }
        }
        done.extend(self.send(ready, &letters, now).await?);
        Ok(done)
    }

    async fn prepare(&self, due: &Due, now: u64) -> Result<Prepared, ServiceError> {
        match due.kind {
            LetterKind::Share | LetterKind::Receipt => self.notice(due, now).await,
            LetterKind::End => self.notice_of_end(due, now).await,
            LetterKind::Acknowledgement => self.acknowledgement(due, now).await,
        }
    }

    /// Sends the letters that are ready; keeps together who was told.
    async fn send(&self, ready: Vec<Due>, letters: &[Letter], now: u64) -> Result<Vec<Sent>, ServiceError> {
        if letters.is_empty() {
            return Ok(Vec::new());
        }
        let reports = match self.ports.network.send_all(letters).await {
            Ok(reports) => reports,
            Err(NetworkError::Stopped) => {
                return Ok(ready.into_iter().map(|due| (due.clone(), Some(due))).collect());
            }
            Err(error) => {
                tracing::debug!(%error, "letters were not sent");
                vec![NoticeReport::default(); letters.len()]
            }
        };
        let outcome = |(due, report): (Due, NoticeReport)| {
            let again = (!report.delivered).then(|| undelivered(&due, report.kept > 0, now));
            (due, again)
        };
        let sent: Vec<_> = ready.into_iter().zip(reports).map(outcome).collect();
        let told = sent
            .iter()
            .filter(|(due, again)| due.kind == LetterKind::Share && again.is_none())
            .map(|(due, _)| (due.locator, due.addressee));
        let told: Vec<(Locator, Address)> = told.collect();
        if !told.is_empty() {
            self.ports.sent.note_notified(&told, now_ms()).await?;
        }
        Ok(sent)
    }

    /// That something was shared, as its envelope says now.
    async fn notice(&self, due: &Due, now: u64) -> Result<Prepared, ServiceError> {
        let envelope = self.envelope(due, now).await?;
        let Some(envelope) = envelope.filter(|envelope| !envelope.is_gone(now)) else {
            return Ok(Prepared::Over);
        };
        if !envelope.grants_to(due.addressee) {
            return Ok(match due.kind {
                LetterKind::Share => Prepared::Ungranted,
                // Whoever learns of the share later learns of the receipt with it.
                _ => Prepared::Over,
            });
        }
        let shares = &self.ports.shares;
        if due.kind == LetterKind::Receipt && !shares.is_receipt_spread(&due.locator, due.addressee).await? {
            return Ok(Prepared::Unspread);
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
            Some(_) if due.attempts.failed < MAX_WAITS => Ok(Prepared::Unspread),
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

/// The first letters to each addressee, in their order, as many as travel together.
fn by_addressee(letters: Vec<Due>) -> Vec<(Address, Vec<Due>)> {
    let mut batches: Vec<(Address, Vec<Due>)> = Vec::new();
    for letter in letters {
        let addressee = letter.addressee;
        match batches.iter_mut().find(|(other, _)| *other == addressee) {
            Some((_, batch)) if batch.len() < TOGETHER => batch.push(letter),
            Some(_) => {}
            None => batches.push((addressee, vec![letter])),
        }
    }
    batches
}

/// The same once more: the addressee does not have it yet, though peers may keep it.
fn undelivered(due: &Due, is_kept: bool, now: u64) -> Due {
    let (state, pauses) = match is_kept || due.state == LetterState::Kept {
        true => (LetterState::Kept, KEPT),
        false => (LetterState::Unsent, UNHEARD),
    };
    Due {
        state,
        ..again(due, pauses, now)
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
