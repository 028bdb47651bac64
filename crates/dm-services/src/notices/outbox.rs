//! The letters that are still to be brought, in the order in which they are due. They outlive
//! the process.

use std::{collections::BTreeSet, sync::Arc};

use alloy_primitives::Address;
use bytes::Bytes;
use dm_core::{
    hash::Locator,
    ports::{KeyValueStore, StoreError, WriteBatch},
};
use serde::{Deserialize, Serialize};

use super::awaited_receipts::AwaitedReceipts;
use crate::{pauses::Attempts, queue_front::QueueFront};

/// Time, addressee, locator and kind → attempts and state: what is to be brought.
const DUE: u8 = b'd';
/// Position in the journal up to which everything is in the outbox.
const READ_TO: &[u8] = b"c";
/// Letters that are looked through at once.
const PAGE: usize = 256;
const KEY_LEN: usize = 1 + 8 + 20 + 32 + 1;

/// What is to be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LetterKind {
    /// To a recipient: that something was shared with it.
    Share,
    /// To a recipient: that the envelope has the receipt of its share.
    Receipt,
    /// To a recipient: that the data was erased, or its access withdrawn.
    End,
    /// To an owner: that this node has read its data.
    Acknowledgement,
}

impl LetterKind {
    const ALL: [Self; 4] = [Self::Share, Self::Receipt, Self::End, Self::Acknowledgement];

    /// What the keys of its letters end with.
    fn suffix(self) -> &'static [u8] {
        match self {
            Self::Share => b"",
            Self::Receipt => b"r",
            Self::End => b"e",
            Self::Acknowledgement => b"a",
        }
    }
}

/// Where a letter is, and what it waits for. The order is that of the stored form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum LetterState {
    /// Here alone: it was not sent yet, or nobody took it.
    Unsent,
    /// With other peers, which keep it for the addressee.
    Kept,
    /// Here alone, until the recipient has a grant.
    Ungranted,
}

/// A letter that is to be brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Due {
    /// When, in milliseconds since the Unix epoch.
    pub(super) at: u64,
    pub(super) kind: LetterKind,
    pub(super) addressee: Address,
    pub(super) locator: Locator,
    pub(super) attempts: Attempts,
    pub(super) state: LetterState,
}

impl Due {
    /// Its place in the outbox.
    pub(super) fn key(&self) -> Vec<u8> {
        let mut key = Vec::with_capacity(KEY_LEN);
        key.push(DUE);
        key.extend(self.at.to_be_bytes());
        key.extend(self.addressee);
        key.extend(self.locator.as_bytes());
        key.extend(self.kind.suffix());
        key
    }

    /// Whether it is about a share of which nobody keeps a letter for the recipient.
    pub(super) fn waits_unheard(&self) -> bool {
        self.kind == LetterKind::Share && self.state != LetterState::Kept
    }

    /// The same at `now`: there is more to say than at the last attempt, and pauses begin anew.
    pub(super) fn hurried(&self, now: u64) -> Self {
        Self {
            at: now,
            attempts: Attempts::none(self.attempts.since),
            ..self.clone()
        }
    }

    fn read(key: &[u8], value: &[u8]) -> Option<Self> {
        let (at, rest) = key.strip_prefix(&[DUE])?.split_first_chunk::<8>()?;
        let (addressee, rest) = rest.split_first_chunk::<20>()?;
        let (locator, kind) = rest.split_first_chunk::<32>()?;
        let (attempts, state) = postcard::from_bytes(value).ok()?;
        Some(Self {
            at: u64::from_be_bytes(*at),
            kind: LetterKind::ALL.into_iter().find(|known| known.suffix() == kind)?,
            addressee: Address::from(*addressee),
            locator: Locator::from_bytes(*locator),
            attempts,
            state,
        })
    }
}

pub(super) struct Outbox {
    store: Arc<dyn KeyValueStore>,
    read_to: u64,
    front: QueueFront,
    receipts: AwaitedReceipts,
}

impl Outbox {
    pub(super) async fn open(store: Arc<dyn KeyValueStore>) -> Result<Self, StoreError> {
        let read_to = store.get(READ_TO).await?;
        let read_to = read_to.and_then(|bytes| bytes.as_ref().try_into().ok());
        Ok(Self {
            read_to: read_to.map_or(0, u64::from_be_bytes),
            store,
            front: QueueFront::new(DUE),
            receipts: AwaitedReceipts::default(),
        })
    }

    /// Position in the journal up to which everything is here.
    pub(super) fn read_to(&self) -> u64 {
        self.read_to
    }

    /// The journal has no more than this: its catalog may have been restored.
    pub(super) fn read_at_most_to(&mut self, last: u64) {
        self.read_to = self.read_to.min(last);
    }

    /// Takes these, and what was read of the journal, in one change.
    pub(super) async fn add(&mut self, new: &[Due], read_to: u64) -> Result<(), StoreError> {
        let mut batch = WriteBatch::new();
        new.iter().for_each(|due| put(&mut batch, due));
        batch.put(READ_TO, read_to.to_be_bytes().to_vec());
        self.front.commit(&*self.store, batch).await?;
        self.read_to = read_to;
        self.receipts.added(new);
        Ok(())
    }

    /// Puts others in the place of some; `None`: they are done.
    pub(super) async fn replace(&mut self, done: Vec<(Due, Option<Due>)>) -> Result<(), StoreError> {
        let mut batch = WriteBatch::new();
        for (old, new) in &done {
            batch.delete(old.key());
            new.iter().for_each(|due| put(&mut batch, due));
        }
        self.front.commit(&*self.store, batch).await?;
        for (old, new) in &done {
            self.receipts.replaced(old, new.as_ref());
        }
        Ok(())
    }

    /// Has recipients who have got grants told at `now` of all shares of which nobody keeps a
    /// letter, and others of the receipts that are in the envelopes of these shares.
    pub(super) async fn hear(
        &mut self,
        granted: &BTreeSet<Address>,
        receipts: &BTreeSet<(Address, Locator)>,
        now: u64,
    ) -> Result<(), StoreError> {
        self.receipts.are_in(receipts);
        if granted.is_empty() {
            return Ok(());
        }
        self.bring_forward(now, |due| due.waits_unheard() && granted.contains(&due.addressee))
            .await
    }

    /// Has every letter sent at `now` that nobody took.
    pub(super) async fn hurry_unsent(&mut self, now: u64) -> Result<(), StoreError> {
        self.bring_forward(now, |due| due.state == LetterState::Unsent)
            .await
    }

    /// Makes letters due at `now` that were to be sent later; their pauses begin anew.
    async fn bring_forward(&mut self, now: u64, is_meant: impl Fn(&Due) -> bool) -> Result<(), StoreError> {
        let mut after: Option<Bytes> = None;
        loop {
            let page = self.store.scan(&[DUE], after.as_deref(), PAGE).await?;
            let letters = page.iter().filter_map(|(key, value)| Due::read(key, value));
            let hurried: Vec<_> = letters
                .filter(|due| due.at > now && is_meant(due))
                .map(|due| {
                    let again = due.hurried(now);
                    (due, Some(again))
                })
                .collect();
            if !hurried.is_empty() {
                self.replace(hurried).await?;
            }
            match page.last() {
                Some((last, _)) if page.len() == PAGE => after = Some(last.clone()),
                _ => return Ok(()),
            }
        }
    }

    /// Those that are due at `now`, among the first ones of which there are at most so many, and
    /// when the next one is; behind them those whose receipts are there.
    pub(super) async fn due(
        &mut self,
        now: u64,
        limit: usize,
    ) -> Result<(Vec<Due>, Option<u64>), StoreError> {
        let entries = self.front.first(&*self.store, limit).await?;
        let letters = entries.iter().filter_map(|(key, value)| Due::read(key, value));
        let (mut due, mut next) = (Vec::new(), None);
        for letter in letters {
            if letter.at > now {
                next = Some(letter.at);
                break;
            }
            if !self.receipts.is_ready(&letter) {
                due.push(letter);
            }
        }
        due.extend(self.receipts.ready().take(limit).cloned());
        Ok((due, next))
    }
}

fn put(batch: &mut WriteBatch, due: &Due) {
    // Numbers and names always have this form.
    let value = postcard::to_stdvec(&(due.attempts, due.state)).unwrap_or_default();
    batch.put(due.key(), Bytes::from(value));
}
