//! The chain on the key-value store: the state as its present values, blocks
//! and transactions by number and hash.

mod keys;
mod records;

use std::{future::Future, sync::Arc};

use alloy::primitives::{Address, B256, Bytes, U256};
use dm_core::ports::{KeyValueStore, WriteBatch};
use revm::state::AccountInfo;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;

use self::records::{AccountRecord, BlockRecord, HeadRecord, TransactionRecord, decode, encode};
use super::{
    EmbeddedChainError,
    block::{Block, MinedTransaction},
    state::StateChanges,
};

/// Blocks and transactions that one read fetches.
const PAGE: usize = 512;

/// Typed access to the store. Its calls block: they are for the mining thread
/// and for blocking tasks, never for async threads.
#[derive(Clone)]
pub(super) struct ChainStore {
    store: Arc<dyn KeyValueStore>,
    runtime: Handle,
}

impl ChainStore {
    pub(super) fn new(store: Arc<dyn KeyValueStore>, runtime: Handle) -> Self {
        Self { store, runtime }
    }

    /// Waits for something asynchronous from a blocking thread.
    pub(super) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Chain id and number of the newest block; `None` in an empty store.
    pub(super) fn head(&self) -> Result<Option<(u64, u64)>, EmbeddedChainError> {
        let head: Option<HeadRecord> = self.read(keys::HEAD, "the head")?;
        Ok(head.map(|head| (head.chain_id, head.number)))
    }

    pub(super) fn account(&self, address: &Address) -> Result<Option<AccountInfo>, EmbeddedChainError> {
        let record: Option<AccountRecord> = self.read(&keys::account(address), "an account")?;
        Ok(record.map(AccountInfo::from))
    }

    pub(super) fn slot(&self, address: &Address, slot: &U256) -> Result<U256, EmbeddedChainError> {
        let bytes = self.bytes(&keys::slot(address, slot))?.unwrap_or_default();
        U256::try_from_be_slice(&bytes).ok_or(EmbeddedChainError::Damaged("a storage slot"))
    }

    pub(super) fn code(&self, hash: &B256) -> Result<Option<Bytes>, EmbeddedChainError> {
        Ok(self.bytes(&keys::code(hash))?.map(Bytes::from))
    }

    pub(super) fn block(&self, number: u64) -> Result<Option<Block>, EmbeddedChainError> {
        let record: Option<BlockRecord> = self.read(&keys::block(number), "a block")?;
        record.map(Block::try_from).transpose()
    }

    /// The number of the block with this hash.
    pub(super) fn block_number(&self, hash: &B256) -> Result<Option<u64>, EmbeddedChainError> {
        self.read(&keys::block_number(hash), "a block hash")
    }

    /// At most 512 blocks from `first` to `last`, in order.
    pub(super) fn blocks(&self, first: u64, last: u64) -> Result<Vec<Block>, EmbeddedChainError> {
        let wanted = last.saturating_add(1).saturating_sub(first);
        let limit = PAGE.min(usize::try_from(wanted).unwrap_or(PAGE));
        let after = first.checked_sub(1).map(keys::block);
        self.wait(self.store.scan(keys::BLOCKS, after.as_deref(), limit))?
            .iter()
            .map(|(_, value)| Block::try_from(decode::<BlockRecord>(value, "a block")?))
            .collect()
    }

    /// All transactions of a block in their order.
    pub(super) fn transactions(&self, block: u64) -> Result<Vec<MinedTransaction>, EmbeddedChainError> {
        let prefix = keys::transactions(block);
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = self.wait(self.store.scan(&prefix, after.as_deref(), PAGE))?;
            for (_, value) in &page {
                found.push(decode::<TransactionRecord>(value, "a transaction")?.try_into()?);
            }
            match page.last() {
                Some((key, _)) if page.len() == PAGE => after = Some(key.to_vec()),
                _ => return Ok(found),
            }
        }
    }

    pub(super) fn transaction(
        &self,
        block: u64,
        index: u32,
    ) -> Result<Option<MinedTransaction>, EmbeddedChainError> {
        let record: Option<TransactionRecord> =
            self.read(&keys::transaction(block, index), "a transaction")?;
        record.map(MinedTransaction::try_from).transpose()
    }

    /// The block of a transaction and its place in it.
    pub(super) fn transaction_place(&self, hash: &B256) -> Result<Option<(u64, u32)>, EmbeddedChainError> {
        self.read(&keys::transaction_place(hash), "a transaction hash")
    }

    /// Everything that a block changes, as one batch.
    pub(super) fn batch(
        chain_id: u64,
        block: &Block,
        transactions: &[MinedTransaction],
        changes: &StateChanges,
    ) -> Result<WriteBatch, EmbeddedChainError> {
        let number = block.header.number;
        let mut batch = WriteBatch::new();
        put_state(&mut batch, changes)?;
        for (index, mined) in (0u32..).zip(transactions) {
            batch.put(
                keys::transaction(number, index),
                encode(&TransactionRecord::from(mined))?,
            );
            batch.put(
                keys::transaction_place(mined.transaction.inner().tx_hash()),
                encode(&(number, index))?,
            );
        }
        batch.put(keys::block_number(&block.hash), encode(&number)?);
        batch.put(keys::block(number), encode(&BlockRecord::from(block))?);
        batch.put(keys::HEAD, encode(&HeadRecord { chain_id, number })?);
        Ok(batch)
    }

    /// Makes a batch durable.
    pub(super) fn commit(&self, batch: WriteBatch) -> Result<(), EmbeddedChainError> {
        Ok(self.wait(self.store.commit(batch))?)
    }

    fn read<T: DeserializeOwned>(
        &self,
        key: &[u8],
        what: &'static str,
    ) -> Result<Option<T>, EmbeddedChainError> {
        self.bytes(key)?.map(|bytes| decode(&bytes, what)).transpose()
    }

    fn bytes(&self, key: &[u8]) -> Result<Option<bytes::Bytes>, EmbeddedChainError> {
        Ok(self.wait(self.store.get(key))?)
    }
}

fn put_state(batch: &mut WriteBatch, changes: &StateChanges) -> Result<(), EmbeddedChainError> {
    for (address, account) in &changes.accounts {
        match account {
            Some(info) => batch.put(keys::account(address), encode(&AccountRecord::from(info))?),
            None => batch.delete(keys::account(address)),
        };
    }
    for ((address, slot), value) in &changes.slots {
        match value.is_zero() {
            true => batch.delete(keys::slot(address, slot)),
            false => batch.put(keys::slot(address, slot), value.to_be_bytes_trimmed_vec()),
        };
    }
    for (hash, code) in &changes.codes {
        batch.put(keys::code(hash), code.original_bytes().0);
    }
    Ok(())
}
