//! A chain with one account, as the tests imagine it.

use std::collections::{BTreeMap, HashMap, HashSet};

use alloy::primitives::{B256, U256, keccak256};
use dm_core::ports::ChainError;

use super::super::{ChainSnapshot, Outcome, SnapshotQuery};
use crate::{transactions::journal::Mined, tx::Price};

/// Wei that the account has: more than it ever needs.
const BALANCE: U256 = U256::MAX;

/// A transaction, the account's own or that of another program on its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Transaction {
    pub(super) hash: B256,
    pub(super) nonce: u64,
    pub(super) max_fee: u128,
    /// The operation that it does, by its number.
    pub(super) operation: Option<u8>,
}

#[derive(Debug, Clone)]
struct Block {
    hash: B256,
    transactions: Vec<Transaction>,
}

/// The chain and its mempool.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// Operations whose transactions it calls invalid.
    pub(super) forbidden: HashSet<u8>,
    /// It takes no operation that pays more: its node has a cap on what a whole
    /// transaction may cost, and an empty one costs little.
    pub(super) fee_cap: Option<u128>,
    blocks: Vec<Block>,
    /// Hashes of the blocks of chains that were there before.
    lost: HashSet<B256>,
    /// Operations that one of those chains had when it was replaced.
    done_before: HashSet<u8>,
    mempool: BTreeMap<u64, Transaction>,
    made: u64,
    pub(super) base_fee: u128,
}

impl Chain {
    pub(super) fn new() -> Self {
        let mut chain = Self {
            base_fee: 10,
            ..Self::default()
        };
        chain.add_block(Vec::new());
        chain
    }

    fn fresh_hash(&mut self) -> B256 {
        self.made += 1;
        keccak256(self.made.to_be_bytes())
    }

    fn add_block(&mut self, transactions: Vec<Transaction>) {
        let hash = self.fresh_hash();
        self.blocks.push(Block { hash, transactions });
    }

    /// Number of the newest block that a node shows which is so many behind.
    fn seen(&self, lag: usize) -> usize {
        (self.blocks.len() - 1).saturating_sub(lag)
    }

    fn count(&self, block: usize) -> u64 {
        let blocks = self.blocks.iter().take(block + 1);
        blocks.map(|block| block.transactions.len() as u64).sum()
    }

    fn next(&self) -> u64 {
        self.count(self.seen(0))
    }

    fn pending(&self) -> u64 {
        let mut next = self.next();
        while self.mempool.contains_key(&next) {
            next += 1;
        }
        next
    }

    /// Takes up to so many transactions into a block.
    pub(super) fn mine(&mut self, limit: usize) {
        let mut transactions = Vec::new();
        let mut next = self.next();
        while transactions.len() < limit
            && let Some(transaction) = self.mempool.get(&next).copied()
            && transaction.max_fee >= self.base_fee
        {
            self.mempool.remove(&next);
            transactions.push(transaction);
            next += 1;
        }
        self.add_block(transactions);
        self.mempool = self.mempool.split_off(&next);
    }

    /// Takes the newest blocks back, and what was in them into the mempool or
    /// out of the world; then there are one more new ones without transactions.
    pub(super) fn reorganise(&mut self, depth: usize, keeps: bool) {
        let depth = depth.min(self.blocks.len() - 1);
        let taken_back = self.blocks.split_off(self.blocks.len() - depth);
        for transaction in taken_back.into_iter().flat_map(|block| block.transactions) {
            if keeps {
                self.mempool.entry(transaction.nonce).or_insert(transaction);
            }
        }
        (0..=depth).for_each(|_| self.add_block(Vec::new()));
    }

    /// Another chain stands in its place, with nothing but a first block.
    pub(super) fn begin_anew(&mut self) {
        self.done_before.extend(self.done().into_keys());
        self.lost.extend(self.blocks.drain(..).map(|block| block.hash));
        self.mempool.clear();
        self.add_block(Vec::new());
    }

    /// Whether this block was one of a chain that is gone.
    pub(super) fn is_lost(&self, block_hash: B256) -> bool {
        self.lost.contains(&block_hash)
    }

    /// Whether a chain that is gone had this operation at its end.
    pub(super) fn was_done_before(&self, operation: u8) -> bool {
        self.done_before.contains(&operation)
    }

    /// The mempool forgets one.
    pub(super) fn drop_one(&mut self, which: usize) {
        let nonce = self
            .mempool
            .keys()
            .nth(which % self.mempool.len().max(1))
            .copied();
        nonce.map(|nonce| self.mempool.remove(&nonce));
    }

    /// The mempool forgets what pays less than the price.
    pub(super) fn drop_cheap(&mut self) {
        let base_fee = self.base_fee;
        self.mempool
            .retain(|_, transaction| transaction.max_fee >= base_fee);
    }

    /// Another program uses the account's next nonce, in whose place it may be.
    pub(super) fn foreign(&mut self, at_once: bool) {
        let hash = self.fresh_hash();
        let nonce = if at_once { self.next() } else { self.pending() };
        let transaction = Transaction {
            hash,
            nonce,
            max_fee: u128::MAX,
            operation: None,
        };
        self.mempool.insert(nonce, transaction);
        if at_once {
            self.mine(1);
        }
    }

    pub(super) fn send(&mut self, transaction: Transaction) -> Outcome {
        if self.refuses(transaction) {
            return Outcome::Invalid(refused());
        }
        if transaction.nonce < self.next() {
            return Outcome::NonceTooLow;
        }
        match self.mempool.get(&transaction.nonce) {
            Some(old) if old.hash == transaction.hash => return Outcome::Taken,
            Some(old) if transaction.max_fee < old.max_fee.saturating_add(old.max_fee / 10) => {
                return Outcome::NonceTaken;
            }
            _ => {}
        }
        if transaction.max_fee < self.base_fee {
            return Outcome::FeeTooLow;
        }
        self.mempool.insert(transaction.nonce, transaction);
        Outcome::Taken
    }

    fn refuses(&self, transaction: Transaction) -> bool {
        transaction.operation.is_some_and(|operation| {
            let is_too_dear = self.fee_cap.is_some_and(|cap| transaction.max_fee > cap);
            is_too_dear || self.forbidden.contains(&operation)
        })
    }

    /// What a node sees that is so many blocks behind.
    pub(super) fn look(&self, wanted: SnapshotQuery, lag: usize) -> ChainSnapshot {
        let seen = self.seen(lag);
        let count = self.count(seen);
        let block = |number: u64| {
            self.blocks
                .get(number as usize)
                .filter(|_| number as usize <= seen)
        };
        ChainSnapshot {
            height: seen as u64,
            count,
            pending: if lag == 0 { self.pending() } else { count },
            block: wanted.block.and_then(block).map(|block| block.hash),
            landmark: wanted.landmark.and_then(block).map(|block| block.hash),
            count_at: wanted
                .count_at
                .filter(|number| *number <= seen as u64)
                .map(|number| self.count(number as usize)),
            price: wanted.price.then_some(Price {
                base: self.base_fee,
                tip: 1,
                is_dynamic: true,
            }),
            balance: wanted.balance.then_some(BALANCE),
        }
    }

    /// The receipt that a node shows which is so many blocks behind.
    pub(super) fn receipt(&self, hash: B256, lag: usize) -> Option<Mined> {
        let blocks = self.blocks.iter().enumerate().take(self.seen(lag) + 1);
        let mut mined =
            blocks.flat_map(|(number, block)| block.transactions.iter().map(move |t| (number, block, t)));
        let (number, block, _) = mined.find(|(_, _, transaction)| transaction.hash == hash)?;
        Some(Mined {
            hash,
            block: number as u64,
            block_hash: block.hash,
            succeeded: true,
            received: Default::default(),
        })
    }

    /// How often each operation was done.
    pub(super) fn done(&self) -> HashMap<u8, usize> {
        let mut done = HashMap::new();
        let operations = self
            .blocks
            .iter()
            .flat_map(|block| &block.transactions)
            .filter_map(|t| t.operation);
        operations.for_each(|operation| *done.entry(operation).or_default() += 1);
        done
    }

    /// The operations in the mempool.
    pub(super) fn waiting(&self) -> Vec<Option<u8>> {
        self.mempool
            .values()
            .map(|transaction| transaction.operation)
            .collect()
    }

    /// What the transaction offers that waits with this nonce.
    pub(super) fn fee_of(&self, nonce: u64) -> u128 {
        self.mempool[&nonce].max_fee
    }

    /// Nonces are those of Ethereum: each once, without a gap.
    pub(super) fn assert_sound(&self) {
        let nonces = self
            .blocks
            .iter()
            .flat_map(|block| &block.transactions)
            .map(|t| t.nonce);
        assert!(nonces.clone().eq(0..nonces.count() as u64));
        let hashes: HashSet<_> = self.blocks.iter().map(|block| block.hash).collect();
        assert_eq!(hashes.len(), self.blocks.len());
    }
}

/// A node that takes no such transaction.
pub(super) fn refused() -> ChainError {
    ChainError::Refused("too much gas".to_owned())
}

/// A node that cannot be reached.
pub(super) fn away() -> ChainError {
    ChainError::Unavailable("away".to_owned())
}
