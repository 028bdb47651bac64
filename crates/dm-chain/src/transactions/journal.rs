//! What the account has begun, kept through restarts: one entry for each
//! operation that is not concluded, and for each other transaction that is not
//! mined, so that none stands unknown before the operations that come after it.

use std::sync::Arc;

use alloy::primitives::Address;
use dm_core::{
    operation::OperationId,
    ports::{ChainError, KeyValueStore, StoreError, WriteBatch},
};
use serde::{Deserialize, Serialize};

use super::{
    draft::Draft,
    queue::{Mined, Version},
};

/// Entries that are read at a time.
const PAGE: usize = 256;
/// First byte of every entry: its format.
const FORMAT: u8 = 1;

/// What is kept of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Whether the key is an operation; else it is the first transaction's hash.
    pub(crate) is_operation: bool,
    /// Borne by all versions.
    pub(crate) nonce: u64,
    /// What it shall do.
    pub(crate) draft: Draft,
    /// Every transaction that the chain may have got, oldest first.
    pub(crate) versions: Vec<Version>,
    /// What came of it, once that is final.
    pub(crate) done: Option<Mined>,
}

impl Entry {
    fn encode(&self) -> Result<Vec<u8>, StoreError> {
        postcard::to_extend(self, vec![FORMAT]).map_err(|error| StoreError::Failed(error.into()))
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (&FORMAT, content) = bytes.split_first()? else {
            return None;
        };
        let (entry, rest) = postcard::take_from_bytes::<Self>(content).ok()?;
        let is_complete = rest.is_empty() && (entry.done.is_some() || !entry.versions.is_empty());
        is_complete.then_some(entry)
    }
}

/// The entries of one account on one chain.
#[derive(Clone)]
pub(super) struct Journal {
    store: Arc<dyn KeyValueStore>,
    prefix: [u8; 28],
}

impl Journal {
    /// The entries of this account on this chain.
    pub(super) fn new(store: Arc<dyn KeyValueStore>, chain_id: u64, account: Address) -> Self {
        let mut prefix = [0; 28];
        prefix[..8].copy_from_slice(&chain_id.to_be_bytes());
        prefix[8..].copy_from_slice(account.as_slice());
        Self { store, prefix }
    }

    /// All entries.
    ///
    /// # Errors
    /// [`ChainError::Refused`] where the store cannot be read, or an entry is damaged:
    /// without it, nobody knows what was begun.
    pub(super) async fn load(&self) -> Result<Vec<(OperationId, Entry)>, ChainError> {
        let mut entries = Vec::new();
        let mut after = None;
        loop {
            let page = self
                .store
                .scan(&self.prefix, after.as_deref(), PAGE)
                .await
                .map_err(|error| unusable(&error.to_string()))?;
            let Some((last, _)) = page.last() else {
                return Ok(entries);
            };
            after = Some(last.clone());
            for (key, value) in page {
                let id = key.get(self.prefix.len()..).and_then(|id| id.try_into().ok());
                let (Some(id), Some(entry)) = (id, Entry::decode(&value)) else {
                    return Err(unusable("an entry is damaged"));
                };
                entries.push((OperationId::from_bytes(id), entry));
            }
        }
    }

    /// Makes changes durable, all or none.
    pub(super) async fn write(&self, changes: Vec<(OperationId, Option<Entry>)>) -> Result<(), StoreError> {
        let mut batch = WriteBatch::new();
        for (id, entry) in changes {
            let key = [self.prefix.as_slice(), id.as_bytes()].concat();
            match entry {
                Some(entry) => batch.put(key, entry.encode()?),
                None => batch.delete(key),
            };
        }
        self.store.commit(batch).await
    }
}

/// Nothing is begun that cannot be noted.
pub(super) fn unusable(reason: &str) -> ChainError {
    ChainError::Refused(format!("the journal of transactions cannot be used: {reason}"))
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{B256, Bytes, U256};
    use dm_core::testing::key_value::MemoryKeyValueStore;
    use proptest::prelude::*;

    use super::*;
    use crate::transactions::{Call, Fees, Gain};

    fn entry() -> Entry {
        Entry {
            is_operation: true,
            nonce: 7,
            draft: Draft {
                call: Call {
                    to: Some(Address::repeat_byte(1)),
                    input: Bytes::from_static(b"input"),
                    value: U256::from(5),
                },
                gas_limit: 21_000,
                gain: Gain::Coin(U256::from(5)),
            },
            versions: vec![Version {
                hash: B256::repeat_byte(2),
                bytes: Bytes::from_static(b"bytes"),
                fees: Fees::Dynamic { max_fee: 9, tip: 1 },
            }],
            done: None,
        }
    }

    fn journal(store: &MemoryKeyValueStore, chain_id: u64, account: u8) -> Journal {
        Journal::new(Arc::new(store.clone()), chain_id, Address::repeat_byte(account))
    }

    #[tokio::test]
    async fn entries_belong_to_one_chain_and_one_account() {
        let store = MemoryKeyValueStore::new();
        let ids: Vec<_> = (0..600).map(|_| OperationId::random()).collect();
        let changes = ids.iter().map(|id| (*id, Some(entry()))).collect();
        journal(&store, 5, 1).write(changes).await.unwrap();
        let mut found = journal(&store, 5, 1).load().await.unwrap();
        found.sort_by_key(|(id, _)| *id);
        assert!(found.iter().all(|(_, found)| *found == entry()) && found.len() == ids.len());
        for (chain_id, account) in [(6, 1), (5, 2)] {
            assert_eq!(journal(&store, chain_id, account).load().await, Ok(Vec::new()));
        }
        let gone = ids.iter().map(|id| (*id, None)).collect();
        journal(&store, 5, 1).write(gone).await.unwrap();
        assert_eq!(journal(&store, 5, 1).load().await, Ok(Vec::new()));
    }

    #[tokio::test]
    async fn a_damaged_entry_is_no_reason_to_guess() {
        let store = MemoryKeyValueStore::new();
        let journal = journal(&store, 5, 1);
        journal
            .write(vec![(OperationId::random(), Some(entry()))])
            .await
            .unwrap();
        let (key, value) = store.scan(&journal.prefix, None, 1).await.unwrap().remove(0);
        let mut batch = WriteBatch::new();
        batch.put(key, value.slice(..value.len() - 1));
        store.commit(batch).await.unwrap();
        assert!(matches!(journal.load().await, Err(ChainError::Refused(_))));
    }

    proptest! {
        #[test]
        fn hostile_bytes_are_no_entry_and_nothing_worse(bytes: Vec<u8>, is_marked: bool) {
            let bytes = if is_marked { [vec![FORMAT], bytes].concat() } else { bytes };
            if let Some(entry) = Entry::decode(&bytes) {
                prop_assert!(entry.encode().is_ok());
            }
        }

        #[test]
        fn a_cut_entry_is_none(length in 0usize..60) {
            let whole = entry().encode().unwrap();
            prop_assert_eq!(Entry::decode(&whole[..length.min(whole.len() - 1)]), None);
        }
    }
}
