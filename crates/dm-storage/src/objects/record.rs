//! What the engine keeps of an object: its envelope, and where its chunks are.
//!
//! Format of a record: one version byte, one byte for the kind of body, 16
//! bytes of body id, then the signed envelope.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use dm_core::{
    Address,
    envelope::{ObjectId, SignedEnvelope},
    hash::Locator,
    ports::StoreError,
};

use crate::engine::Table;

/// The only version of the format so far.
const VERSION: u8 = 1;
/// Kind byte: the chunks are in the engine.
const INLINE: u8 = 0;
/// Kind byte: the chunks are in a file.
const FILE: u8 = 1;
/// Kind byte: the chunks are in the bucket.
const BUCKET: u8 = 2;
const HEADER_LEN: usize = 18;
/// Bytes of an object's key.
pub(super) const KEY_LEN: usize = 52;

/// Names the chunks of one version of an object. It is never used again, so
/// that a reader of a replaced object cannot meet the chunks of the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct BodyId {
    /// Grows with every opening of the store.
    pub(crate) epoch: u64,
    /// Grows with every body of an epoch.
    pub(crate) number: u64,
}

impl BodyId {
    pub(crate) fn to_bytes(self) -> [u8; 16] {
        ((u128::from(self.epoch) << 64) | u128::from(self.number)).to_be_bytes()
    }

    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        let both = u128::from_be_bytes(bytes);
        Self {
            epoch: (both >> 64) as u64,
            number: both as u64,
        }
    }
}

/// Hands out the body ids of an epoch.
pub(crate) struct BodyIds(Mutex<BodyId>);

impl BodyIds {
    pub(crate) fn of_epoch(epoch: u64) -> Self {
        Self(Mutex::new(BodyId { epoch, number: 0 }))
    }

    pub(crate) fn next(&self) -> BodyId {
        let mut next = self.lock();
        let body = *next;
        next.number += 1;
        body
    }

    /// The epoch of new bodies.
    pub(crate) fn epoch(&self) -> u64 {
        self.lock().epoch
    }

    /// Goes on with the ids of a later epoch.
    #[cfg(feature = "postgres")]
    pub(crate) fn go_on_in(&self, epoch: u64) {
        *self.lock() = BodyId { epoch, number: 0 };
    }

    fn lock(&self) -> MutexGuard<'_, BodyId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the chunks of an object are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// In the engine, one entry each.
    Inline(BodyId),
    /// In a file of their own.
    File(BodyId),
    /// In an S3 object of their own.
    Bucket(BodyId),
}

/// An object as the engine keeps it, without its chunks.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) body: Body,
    pub(crate) envelope: SignedEnvelope,
}

impl Record {
    pub(crate) fn encode(&self) -> Bytes {
        let (kind, id) = match self.body {
            Body::Inline(id) => (INLINE, id),
            Body::File(id) => (FILE, id),
            Body::Bucket(id) => (BUCKET, id),
        };
        let mut bytes = Vec::with_capacity(HEADER_LEN + self.envelope.bytes().len());
        bytes.extend_from_slice(&[VERSION, kind]);
        bytes.extend_from_slice(&id.to_bytes());
        bytes.extend_from_slice(self.envelope.bytes());
        bytes.into()
    }

    /// Reads a record of this store; the envelope's signature was checked
    /// before it was stored.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let Some((header, envelope)) = bytes.split_first_chunk::<HEADER_LEN>() else {
            return Err(damaged("it is cut short"));
        };
        let [version, kind, id @ ..] = *header;
        if version != VERSION {
            return Err(damaged("it has an unknown version"));
        }
        let id = BodyId::from_bytes(id);
        let body = match kind {
            INLINE => Body::Inline(id),
            FILE => Body::File(id),
            BUCKET => Body::Bucket(id),
            _ => return Err(damaged("it has an unknown kind of body")),
        };
        // Copied, so that a cached record does not keep a whole block of the engine in memory.
        let envelope = SignedEnvelope::from_trusted(Bytes::copy_from_slice(envelope))
            .map_err(|error| damaged(&error.to_string()))?;
        Ok(Self { body, envelope })
    }
}

fn damaged(why: &str) -> StoreError {
    StoreError::Corrupt(format!("the record of an object: {why}"))
}

/// The key of an object's record: locator and owner, so that keys have the
/// order of the ids and owners of one locator stand together.
pub(crate) fn record_key(id: &ObjectId) -> [u8; KEY_LEN] {
    let mut key = [0; KEY_LEN];
    key[..32].copy_from_slice(id.locator.as_bytes());
    key[32..].copy_from_slice(id.owner.as_slice());
    key
}

/// Where an object's record is.
pub(crate) fn entry_key(id: &ObjectId) -> (Table, Bytes) {
    (Table::Records, Bytes::copy_from_slice(&record_key(id)))
}

/// The object with this key.
pub(crate) fn object_id(key: &[u8]) -> Result<ObjectId, StoreError> {
    let parts = key.split_first_chunk::<32>();
    let Some((locator, owner)) = parts.filter(|(_, owner)| owner.len() == Address::len_bytes()) else {
        return Err(damaged("its key has a wrong length"));
    };
    Ok(ObjectId {
        locator: Locator::from_bytes(*locator),
        owner: Address::from_slice(owner),
    })
}

#[cfg(test)]
mod tests {
    use dm_testing::objects::SampleObject;
    use proptest::prelude::*;

    use super::*;

    fn record() -> Record {
        Record {
            body: Body::File(BodyId { epoch: 3, number: 7 }),
            envelope: SampleObject::new(1, 1, 10).envelope,
        }
    }

    #[test]
    fn a_record_is_read_back() {
        let record = record();
        let decoded = Record::decode(&record.encode()).unwrap();
        assert_eq!((decoded.body, decoded.envelope), (record.body, record.envelope));
    }

    #[test]
    fn keys_have_the_order_of_ids() {
        let mut ids: Vec<_> = (0..20)
            .map(|n| SampleObject::new(n % 3, u64::from(n / 3), 1).id())
            .collect();
        let mut keys: Vec<_> = ids.iter().map(record_key).collect();
        ids.sort();
        keys.sort_unstable();
        assert!(keys.iter().map(|key| object_id(key).unwrap()).eq(ids));
    }

    proptest! {
        #[test]
        fn a_damaged_record_is_refused_without_panic(cut in 0..200_usize, at in 0..200_usize, flip in 1..=255_u8) {
            let whole = record().encode();
            let cut = cut.min(whole.len() - 1);
            prop_assert!(Record::decode(&whole[..cut]).is_err());
            let mut changed = whole.to_vec();
            changed[at % whole.len()] ^= flip;
            drop(Record::decode(&changed));
        }

        #[test]
        fn random_bytes_are_no_record_or_key(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Record::decode(&bytes).is_err());
            prop_assert_eq!(object_id(&bytes).is_ok(), bytes.len() == 52);
        }
    }
}
