//! What the account has begun, kept through restarts: one entry for each
//! operation that is not concluded, and for each other transaction that is not
//! mined, so that none stands unknown before the operations that come after it;
//! and the blocks by which the chain is known again.
//!
//! Several instances of a node may have the journal of one account open. Each change makes
//! a new revision and expects the one that its writer knows: who does not know what another
//! instance has begun writes nothing, and so gives no nonce a second time.

mod entry;
mod landmarks;
mod revision;

use std::sync::Arc;

use alloy::primitives::Address;
use dm_core::{
    operation::OperationId,
    ports::{ChainError, KeyValueStore, StoreError, WriteBatch},
};

use self::revision::Revision;
pub(super) use self::{
    entry::{JournalEntry, Mined, Refused},
    landmarks::Landmarks,
};

/// Entries that are read at a time.
const PAGE: usize = 256;
/// First byte of the landmarks: their format.
const LANDMARKS: u8 = 1;

/// Everything that is kept for an account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Its transactions.
    pub(crate) entries: Vec<(OperationId, JournalEntry)>,
    /// The blocks by which its chain is known again.
    pub(crate) landmarks: Landmarks,
}

/// A change of what is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// Entries that are new, and those that are not needed any more.
    pub(crate) entries: Vec<(OperationId, Option<JournalEntry>)>,
    /// New landmarks.
    pub(crate) landmarks: Option<Landmarks>,
}

/// The entries of one account on one chain.
#[derive(Clone)]
pub(super) struct Journal {
    store: Arc<dyn KeyValueStore>,
    prefix: [u8; 28],
    landmarks_key: Vec<u8>,
    revision: Arc<Revision>,
}

impl Journal {
    /// The entries of this account on this chain.
    pub(super) fn new(store: Arc<dyn KeyValueStore>, chain_id: u64, account: Address) -> Self {
        let mut prefix = [0; 28];
        prefix[..8].copy_from_slice(&chain_id.to_be_bytes());
        prefix[8..].copy_from_slice(account.as_slice());
        // Apart from the entries, which begin with the chain's id.
        let landmarks_key = [b"landmarks".as_slice(), &prefix].concat();
        let revision_key = [b"revision".as_slice(), &prefix].concat();
        Self {
            store,
            prefix,
            landmarks_key,
            revision: Arc::new(Revision::kept_under(revision_key)),
        }
    }

    /// What is kept.
    ///
    /// # Errors
    /// [`ChainError::Journal`] where the store cannot be read, or an entry is damaged:
    /// without it, nobody knows what was begun.
    pub(super) async fn load(&self) -> Result<Kept, ChainError> {
        // First: what another instance writes meanwhile is of a later one.
        let known = self.revision.read(&*self.store).await;
        known.map_err(|error| ChainError::Journal(error.to_string()))?;
        Ok(Kept {
            entries: self.entries().await?,
            landmarks: self.landmarks().await?,
        })
    }

    async fn entries(&self) -> Result<Vec<(OperationId, JournalEntry)>, ChainError> {
        let mut entries = Vec::new();
        let mut after = None;
        loop {
            let page = self
                .store
                .scan(&self.prefix, after.as_deref(), PAGE)
                .await
                .map_err(|error| ChainError::Journal(error.to_string()))?;
            let Some((last, _)) = page.last() else {
                return Ok(entries);
            };
            after = Some(last.clone());
            for (key, value) in page {
                let id = key.get(self.prefix.len()..).and_then(|id| id.try_into().ok());
                let (Some(id), Some(entry)) = (id, JournalEntry::decode(&value)) else {
                    return Err(damaged());
                };
                entries.push((OperationId::from_bytes(id), entry));
            }
        }
    }

    async fn landmarks(&self) -> Result<Landmarks, ChainError> {
        let kept = self.store.get(&self.landmarks_key).await;
        let Some(kept) = kept.map_err(|error| ChainError::Journal(error.to_string()))? else {
            return Ok(Landmarks::default());
        };
        match kept.split_first() {
            Some((&LANDMARKS, content)) => postcard::from_bytes(content).map_err(|_| damaged()),
            _ => Err(damaged()),
        }
    }

    /// Whether another instance has written to it since it was loaded. Nothing can be
    /// written then, until it is loaded anew.
    pub(super) fn is_outdated(&self) -> bool {
        self.revision.is_outdated()
    }

    /// Makes a change durable, all or nothing. After an error it may have
    /// happened all the same, but not after [`StoreError::Conflict`].
    pub(super) async fn write(&self, change: Change) -> Result<(), StoreError> {
        let mut batch = WriteBatch::new();
        for (id, entry) in change.entries {
            let key = [self.prefix.as_slice(), id.as_bytes()].concat();
            match entry {
                Some(entry) => batch.put(key, entry.encode()?),
                None => batch.delete(key),
            };
        }
        if let Some(landmarks) = change.landmarks {
            let encoded = postcard::to_extend(&landmarks, vec![LANDMARKS])
                .map_err(|error| StoreError::Failed(error.into()))?;
            batch.put(self.landmarks_key.clone(), encoded);
        }
        self.revision.commit(&*self.store, batch).await
    }
}

fn damaged() -> ChainError {
    ChainError::Journal("an entry is damaged".to_owned())
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{B256, Bytes, U256};
    use dm_testing::key_value::MemoryKeyValueStore;
    use proptest::prelude::*;

    use super::entry::{EXTENDED, PLAIN};
    use super::*;
    use crate::tx::{Call, Draft, ExpectedTransfer, Fees, Version};

    fn entry() -> JournalEntry {
        JournalEntry {
            is_operation: true,
            nonce: 7,
            draft: Draft {
                call: Call {
                    to: Some(Address::repeat_byte(1)),
                    input: Bytes::from_static(b"input"),
                    value: U256::from(5),
                },
                gas_limit: 21_000,
                transfer: ExpectedTransfer::Coin(U256::from(5)),
            },
            versions: vec![Version {
                hash: B256::repeat_byte(2),
                bytes: Bytes::from_static(b"bytes"),
                fees: Fees::Dynamic { max_fee: 9, tip: 1 },
            }],
            done: None,
            seen: None,
            refused: None,
            is_of_lost_chain: false,
        }
    }

    fn refused() -> JournalEntry {
        JournalEntry {
            refused: Some(Refused {
                reason: "too much gas".to_owned(),
                tx_hash: B256::repeat_byte(2),
                first_empty: 1,
                is_over: false,
            }),
            ..entry()
        }
    }

    fn change(entries: Vec<(OperationId, Option<JournalEntry>)>) -> Change {
        Change {
            entries,
            landmarks: None,
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
        journal(&store, 5, 1).write(change(changes)).await.unwrap();
        let mut found = journal(&store, 5, 1).load().await.unwrap().entries;
        found.sort_by_key(|(id, _)| *id);
        assert!(found.iter().all(|(_, found)| *found == entry()) && found.len() == ids.len());
        for (chain_id, account) in [(6, 1), (5, 2)] {
            assert_eq!(
                journal(&store, chain_id, account).load().await,
                Ok(Kept::default())
            );
        }
        let gone = ids.iter().map(|id| (*id, None)).collect();
        let again = journal(&store, 5, 1);
        again.load().await.unwrap();
        again.write(change(gone)).await.unwrap();
        assert_eq!(journal(&store, 5, 1).load().await, Ok(Kept::default()));
    }

    #[tokio::test]
    async fn who_does_not_know_what_another_has_begun_writes_nothing() {
        let store = MemoryKeyValueStore::new();
        let (first, second) = (journal(&store, 5, 1), journal(&store, 5, 1));
        let of_other_account = journal(&store, 5, 2);
        let begins = || change(vec![(OperationId::random(), Some(entry()))]);
        for journal in [&first, &second, &of_other_account] {
            journal.load().await.unwrap();
        }
        first.write(begins()).await.unwrap();
        let refused = second.write(begins()).await;
        assert!(matches!(refused, Err(StoreError::Conflict)), "{refused:?}");
        assert!(second.is_outdated());
        assert_eq!(journal(&store, 5, 1).load().await.unwrap().entries.len(), 1);
        // Further changes of the first one, and those of another account, are not concerned.
        first.write(begins()).await.unwrap();
        of_other_account.write(begins()).await.unwrap();
        assert!(!first.is_outdated() && !of_other_account.is_outdated());
    }

    #[tokio::test]
    async fn a_change_whose_answer_was_lost_is_known_as_ones_own() {
        let store = Arc::new(Unanswering::default());
        let journal = Journal::new(store.clone(), 5, Address::repeat_byte(1));
        journal.load().await.unwrap();
        let begins = || change(vec![(OperationId::random(), Some(entry()))]);
        for is_made in [false, true] {
            *store.next.lock().unwrap() = Some(is_made);
            assert!(journal.write(begins()).await.is_err());
            journal.write(begins()).await.unwrap();
            assert!(!journal.is_outdated());
        }
        assert_eq!(journal.load().await.unwrap().entries.len(), 3);
    }

    /// A store that loses an answer.
    #[derive(Default)]
    struct Unanswering {
        entries: MemoryKeyValueStore,
        /// Whether the next change, which gets no answer, is made.
        next: std::sync::Mutex<Option<bool>>,
    }

    #[async_trait::async_trait]
    impl KeyValueStore for Unanswering {
        async fn get(&self, key: &[u8]) -> Result<Option<bytes::Bytes>, StoreError> {
            self.entries.get(key).await
        }

        async fn scan(
            &self,
            prefix: &[u8],
            after: Option<&[u8]>,
            limit: usize,
        ) -> Result<Vec<(bytes::Bytes, bytes::Bytes)>, StoreError> {
            self.entries.scan(prefix, after, limit).await
        }

        async fn commit(&self, batch: WriteBatch) -> Result<(), StoreError> {
            let next = self.next.lock().unwrap().take();
            if next != Some(false) {
                self.entries.commit(batch).await?;
            }
            match next {
                None => Ok(()),
                Some(_) => Err(StoreError::Unsettled("no answer".to_owned())),
            }
        }
    }

    #[tokio::test]
    async fn why_an_operation_is_given_up_and_the_landmarks_are_kept() {
        let store = MemoryKeyValueStore::new();
        let (given_up, lost) = (OperationId::from_bytes([1; 32]), OperationId::from_bytes([2; 32]));
        let of_lost_chain = JournalEntry {
            is_of_lost_chain: true,
            ..entry()
        };
        let landmarks = Landmarks {
            genesis: Some(B256::repeat_byte(7)),
            deep: Some((9, B256::repeat_byte(8))),
        };
        let written = Change {
            entries: vec![(given_up, Some(refused())), (lost, Some(of_lost_chain.clone()))],
            landmarks: Some(landmarks),
        };
        journal(&store, 5, 1).write(written).await.unwrap();
        let kept = journal(&store, 5, 1).load().await.unwrap();
        assert_eq!(kept.entries, [(given_up, refused()), (lost, of_lost_chain)]);
        assert_eq!(kept.landmarks, landmarks);
        assert_eq!(journal(&store, 5, 2).load().await, Ok(Kept::default()));
    }

    #[test]
    fn an_entry_without_news_is_read_by_older_versions() {
        let bytes = entry().encode().unwrap();
        let JournalEntry {
            is_operation,
            nonce,
            draft,
            versions,
            done,
            ..
        } = entry();
        let old = postcard::to_extend(&(is_operation, nonce, draft, versions, done), vec![1]);
        assert_eq!(bytes, old.unwrap());
    }

    #[tokio::test]
    async fn a_damaged_entry_is_no_reason_to_guess() {
        let store = MemoryKeyValueStore::new();
        let journal = journal(&store, 5, 1);
        journal
            .write(change(vec![(OperationId::random(), Some(entry()))]))
            .await
            .unwrap();
        let (key, value) = store.scan(&journal.prefix, None, 1).await.unwrap().remove(0);
        let mut batch = WriteBatch::new();
        batch.put(key, value.slice(..value.len() - 1));
        store.commit(batch).await.unwrap();
        assert!(matches!(journal.load().await, Err(ChainError::Journal(_))));
    }

    proptest! {
        #[test]
        fn hostile_bytes_are_no_entry_and_nothing_worse(bytes: Vec<u8>, format: Option<bool>) {
            let format = format.map(|is_plain| if is_plain { PLAIN } else { EXTENDED });
            let bytes: Vec<u8> = format.into_iter().chain(bytes).collect();
            if let Some(entry) = JournalEntry::decode(&bytes) {
                prop_assert!(entry.encode().is_ok());
            }
        }

        #[test]
        fn a_cut_entry_is_none(length in 0usize..200, is_refused: bool) {
            let whole = if is_refused { refused() } else { entry() }.encode().unwrap();
            prop_assert_eq!(JournalEntry::decode(&whole[..length.min(whole.len() - 1)]), None);
        }
    }
}
