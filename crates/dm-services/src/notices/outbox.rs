//! What is still to be told, in the order in which it is due. It outlives the process.

use std::sync::Arc;

use alloy_primitives::Address;
use bytes::Bytes;
use dm_core::{
    hash::Locator,
    ports::{KeyValueStore, StoreError, WriteBatch},
};
use serde::{Deserialize, Serialize};

/// Time, recipient and locator → attempts: what is to be told.
const DUE: u8 = b'd';
/// Position in the journal up to which all shares are in the outbox.
const READ_TO: &[u8] = b"c";
const KEY_LEN: usize = 1 + 8 + 20 + 32;

/// A notice that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Due {
    /// When, in milliseconds since the Unix epoch.
    pub(super) at: u64,
    pub(super) recipient: Address,
    pub(super) locator: Locator,
    pub(super) attempts: Attempts,
}

/// What has been done about it so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attempts {
    /// When the share was made, in milliseconds since the Unix epoch.
    pub(super) since: u64,
    /// Attempts that did not reach the recipient.
    pub(super) failed: u32,
    /// Whether other peers keep the notice for the recipient.
    pub(super) is_kept: bool,
}

impl Due {
    fn key(&self) -> Vec<u8> {
        let mut key = Vec::with_capacity(KEY_LEN);
        key.push(DUE);
        key.extend(self.at.to_be_bytes());
        key.extend(self.recipient);
        key.extend(self.locator.as_bytes());
        key
    }

    fn read(key: &[u8], value: &[u8]) -> Option<Self> {
        let (at, rest) = key.strip_prefix(&[DUE])?.split_first_chunk::<8>()?;
        let (recipient, locator) = rest.split_first_chunk::<20>()?;
        Some(Self {
            at: u64::from_be_bytes(*at),
            recipient: Address::from(*recipient),
            locator: Locator::from_bytes(locator.try_into().ok()?),
            attempts: postcard::from_bytes(value).ok()?,
        })
    }
}

pub(super) struct Outbox {
    store: Arc<dyn KeyValueStore>,
    read_to: u64,
    /// Nothing stands at this key or before it: spares the walk over what was deleted.
    front: Vec<u8>,
}

impl Outbox {
    pub(super) async fn open(store: Arc<dyn KeyValueStore>) -> Result<Self, StoreError> {
        let read_to = store.get(READ_TO).await?;
        let read_to = read_to.and_then(|bytes| bytes.as_ref().try_into().ok());
        Ok(Self {
            read_to: read_to.map_or(0, u64::from_be_bytes),
            store,
            front: Vec::new(),
        })
    }

    /// Position in the journal up to which all shares are here.
    pub(super) fn read_to(&self) -> u64 {
        self.read_to
    }

    /// Takes these, and what was read of the journal, in one change.
    pub(super) async fn add(&mut self, new: &[Due], read_to: u64) -> Result<(), StoreError> {
        let mut batch = WriteBatch::new();
        new.iter().for_each(|due| put(&mut batch, due));
        batch.put(READ_TO, read_to.to_be_bytes().to_vec());
        self.store.commit(batch).await?;
        self.read_to = read_to;
        new.iter().for_each(|due| self.move_front_back(due));
        Ok(())
    }

    /// Puts others in the place of some; `None`: they are done.
    pub(super) async fn replace(&mut self, done: Vec<(Due, Option<Due>)>) -> Result<(), StoreError> {
        let mut batch = WriteBatch::new();
        for (old, new) in &done {
            batch.delete(old.key());
            new.iter().for_each(|due| put(&mut batch, due));
        }
        self.store.commit(batch).await?;
        let new = done.iter().filter_map(|(_, new)| new.as_ref());
        new.for_each(|due| self.move_front_back(due));
        Ok(())
    }

    /// The first ones, at most so many.
    pub(super) async fn first(&mut self, limit: usize) -> Result<Vec<Due>, StoreError> {
        let after = Some(self.front.as_slice()).filter(|front| !front.is_empty());
        let entries = self.store.scan(&[DUE], after, limit).await?;
        self.front = match entries.first() {
            // The time alone stands before every key of this time.
            Some((key, _)) => key.get(..9).unwrap_or_default().to_vec(),
            None => vec![u8::MAX; KEY_LEN],
        };
        if let Some(first) = self.front.first_mut() {
            *first = DUE;
        }
        Ok(entries
            .iter()
            .filter_map(|(key, value)| Due::read(key, value))
            .collect())
    }

    fn move_front_back(&mut self, due: &Due) {
        let key = due.key();
        if key <= self.front {
            self.front = key.get(..9).unwrap_or_default().to_vec();
        }
    }
}

fn put(batch: &mut WriteBatch, due: &Due) {
    // Numbers and switches always have this form.
    let value = postcard::to_stdvec(&due.attempts).unwrap_or_default();
    batch.put(due.key(), Bytes::from(value));
}
