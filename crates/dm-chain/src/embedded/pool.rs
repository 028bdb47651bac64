#[cfg(test)]
mod tests;

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BinaryHeap, HashMap},
    sync::Arc,
};

use alloy::{
    consensus::{Transaction, TxEnvelope, transaction::Recovered},
    primitives::{Address, B256},
};
use tokio::sync::oneshot;

/// Transactions that may wait altogether.
const MAX_TRANSACTIONS: usize = 16 * 1024;
/// Bytes of raw transactions that may wait altogether.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Transactions of one sender that may wait.
const MAX_PER_SENDER: usize = 4 * 1024;
/// By how many percent a replacement must offer more.
const REPLACEMENT_PERCENT: u128 = 10;

/// A transaction that was checked, and its size in bytes.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) transaction: Recovered<TxEnvelope>,
    pub(super) bytes: usize,
}

impl Candidate {
    pub(super) fn hash(&self) -> B256 {
        *self.transaction.inner().tx_hash()
    }

    fn is_worth(&self, base_fee: u64) -> bool {
        self.transaction.max_fee_per_gas() >= u128::from(base_fee)
    }

    /// Whether this one offers enough to take the other's place.
    fn outbids(&self, other: &Self) -> bool {
        let enough =
            |new: u128, old: u128| new >= old.saturating_mul(100 + REPLACEMENT_PERCENT).div_ceil(100);
        enough(
            self.transaction.max_fee_per_gas(),
            other.transaction.max_fee_per_gas(),
        ) && enough(tip_cap(&self.transaction), tip_cap(&other.transaction))
    }
}

fn tip_cap(transaction: &Recovered<TxEnvelope>) -> u128 {
    transaction
        .max_priority_fee_per_gas()
        .unwrap_or_else(|| transaction.max_fee_per_gas())
}

/// Why a transaction may not wait; the words are those of geth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum PoolError {
    #[error("already known")]
    AlreadyKnown,
    #[error("replacement transaction underpriced")]
    ReplacementUnderpriced,
    #[error("txpool is full")]
    Full,
}

/// Transactions that wait for a block, by sender and nonce.
#[derive(Debug, Default)]
pub(super) struct Pool {
    senders: HashMap<Address, BTreeMap<u64, Waiting>>,
    by_hash: HashMap<B256, (Address, u64)>,
    bytes: usize,
}

#[derive(Debug)]
struct Waiting {
    candidate: Arc<Candidate>,
    mined: oneshot::Sender<()>,
}

/// What a block can take.
#[derive(Debug, Default)]
pub(super) struct Selection {
    /// Transactions in the order in which they should be executed.
    pub(super) candidates: Vec<Arc<Candidate>>,
    /// Whether some wait only for the base fee to fall.
    pub(super) underpriced: bool,
}

impl Pool {
    /// Lets a transaction wait. The receiver hears when it is mined, and
    /// closes when it is dropped or replaced.
    pub(super) fn insert(&mut self, candidate: Candidate) -> Result<oneshot::Receiver<()>, PoolError> {
        let (sender, nonce, hash) = (
            candidate.transaction.signer(),
            candidate.transaction.nonce(),
            candidate.hash(),
        );
        if self.by_hash.contains_key(&hash) {
            return Err(PoolError::AlreadyKnown);
        }
        match self.senders.get(&sender).and_then(|waiting| waiting.get(&nonce)) {
            Some(old) if !candidate.outbids(&old.candidate) => return Err(PoolError::ReplacementUnderpriced),
            Some(_) => self.remove_at(sender, nonce),
            None => self.check_room(&candidate)?,
        }
        let (mined, receiver) = oneshot::channel();
        self.bytes += candidate.bytes;
        self.by_hash.insert(hash, (sender, nonce));
        let waiting = Waiting {
            candidate: Arc::new(candidate),
            mined,
        };
        self.senders.entry(sender).or_default().insert(nonce, waiting);
        Ok(receiver)
    }

    fn check_room(&self, candidate: &Candidate) -> Result<(), PoolError> {
        let of_sender = self
            .senders
            .get(&candidate.transaction.signer())
            .map_or(0, BTreeMap::len);
        let fits = self.by_hash.len() < MAX_TRANSACTIONS
            && self.bytes + candidate.bytes <= MAX_BYTES
            && of_sender < MAX_PER_SENDER;
        fits.then_some(()).ok_or(PoolError::Full)
    }

    /// Everybody who has a transaction here.
    pub(super) fn senders(&self) -> Vec<Address> {
        self.senders.keys().copied().collect()
    }

    /// The transaction with this hash, while it waits.
    pub(super) fn get(&self, hash: &B256) -> Option<Arc<Candidate>> {
        let (sender, nonce) = self.by_hash.get(hash)?;
        let waiting = self.senders.get(sender)?.get(nonce)?;
        Some(Arc::clone(&waiting.candidate))
    }

    /// The nonce after the transactions that can follow one another from `first` on.
    pub(super) fn next_nonce(&self, sender: &Address, first: u64) -> u64 {
        let waiting = self
            .senders
            .get(sender)
            .into_iter()
            .flat_map(|waiting| waiting.range(first..));
        waiting
            .zip(first..)
            .take_while(|((nonce, _), expected)| **nonce == *expected)
            .count() as u64
            + first
    }

    /// At most `limit` transactions that can be executed, the best paying
    /// sender first. `nonces` holds the next nonce of each sender; what is
    /// below it is dropped.
    pub(super) fn select(
        &mut self,
        nonces: &HashMap<Address, u64>,
        base_fee: u64,
        limit: usize,
    ) -> Selection {
        self.drop_stale(nonces);
        let mut selection = Selection::default();
        let mut fronts: BinaryHeap<Front> = nonces
            .iter()
            .filter_map(|(sender, nonce)| self.front(*sender, *nonce, base_fee))
            .collect();
        while selection.candidates.len() < limit {
            let Some(front) = fronts.pop() else { break };
            if !front.candidate.is_worth(base_fee) {
                selection.underpriced = true;
                continue;
            }
            fronts.extend(self.front(front.sender, front.nonce.saturating_add(1), base_fee));
            selection.candidates.push(front.candidate);
        }
        selection
    }

    /// Forgets transactions that were mined and tells who waits for them.
    pub(super) fn mined(&mut self, hashes: impl IntoIterator<Item = B256>) {
        for hash in hashes {
            if let Some(waiting) = self.take(&hash) {
                // Nobody may be waiting any more.
                let _ = waiting.mined.send(());
            }
        }
    }

    /// Forgets a transaction that can never be mined.
    pub(super) fn reject(&mut self, hash: &B256) {
        self.take(hash);
    }

    fn front(&self, sender: Address, nonce: u64, base_fee: u64) -> Option<Front> {
        let candidate = Arc::clone(&self.senders.get(&sender)?.get(&nonce)?.candidate);
        let tip = candidate
            .transaction
            .effective_tip_per_gas(base_fee)
            .unwrap_or_default();
        Some(Front {
            tip,
            sender,
            nonce,
            candidate,
        })
    }

    fn drop_stale(&mut self, nonces: &HashMap<Address, u64>) {
        for (sender, next) in nonces {
            let stale: Vec<u64> = match self.senders.get(sender) {
                Some(waiting) => waiting.range(..next).map(|(nonce, _)| *nonce).collect(),
                None => continue,
            };
            stale.into_iter().for_each(|nonce| self.remove_at(*sender, nonce));
        }
    }

    fn remove_at(&mut self, sender: Address, nonce: u64) {
        let hash = self
            .senders
            .get(&sender)
            .and_then(|waiting| waiting.get(&nonce))
            .map(|w| w.candidate.hash());
        if let Some(hash) = hash {
            self.take(&hash);
        }
    }

    fn take(&mut self, hash: &B256) -> Option<Waiting> {
        let (sender, nonce) = self.by_hash.remove(hash)?;
        let of_sender = self.senders.get_mut(&sender)?;
        let waiting = of_sender.remove(&nonce)?;
        if of_sender.is_empty() {
            self.senders.remove(&sender);
        }
        self.bytes -= waiting.candidate.bytes;
        Some(waiting)
    }
}

/// The next transaction of one sender; the greatest is the one that pays most.
struct Front {
    tip: u128,
    sender: Address,
    nonce: u64,
    candidate: Arc<Candidate>,
}

impl Ord for Front {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.tip, self.sender, self.nonce).cmp(&(other.tip, other.sender, other.nonce))
    }
}

impl PartialOrd for Front {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Front {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Front {}
