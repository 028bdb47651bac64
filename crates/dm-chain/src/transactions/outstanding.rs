//! Transactions that the chain took and nobody has seen mined.

use std::{collections::BTreeMap, time::Duration};

use alloy::primitives::B256;
use tokio::time::Instant;

use super::signing::SignedTransaction;

/// A transaction that the chain does not count after this time is given to it
/// again; and where it counts not even those before it, it never will count it.
pub(super) const COUNTED_AFTER: Duration = Duration::from_secs(5);

/// The outstanding transactions of one account, by nonce.
#[derive(Default)]
pub(super) struct Outstanding(BTreeMap<u64, Sent>);

/// One of them.
pub(super) struct Sent {
    /// What the chain took.
    pub(super) transaction: SignedTransaction,
    /// When it took it last.
    pub(super) at: Instant,
}

impl Outstanding {
    /// Notes a transaction that the chain took now.
    pub(super) fn note(&mut self, nonce: u64, transaction: SignedTransaction, now: Instant) {
        self.0.insert(nonce, Sent { transaction, at: now });
    }

    /// Forgets a transaction.
    pub(super) fn settle(&mut self, hash: B256) {
        self.0.retain(|_, sent| sent.transaction.hash != hash);
    }

    /// The transaction with this hash.
    pub(super) fn find(&self, hash: B256) -> Option<&SignedTransaction> {
        let mut transactions = self.0.values().map(|sent| &sent.transaction);
        transactions.find(|transaction| transaction.hash == hash)
    }

    /// Those that the chain took last at least this time ago.
    pub(super) fn older_than(
        &mut self,
        age: Duration,
        now: Instant,
    ) -> impl Iterator<Item = (u64, &mut Sent)> {
        let is_older = move |sent: &&mut Sent| now.saturating_duration_since(sent.at) >= age;
        let sent = self.0.iter_mut().map(|(nonce, sent)| (*nonce, sent));
        sent.filter(move |(_, sent)| is_older(sent))
    }

    /// Forgets those with these nonces.
    pub(super) fn drop_nonces(&mut self, nonces: &[u64]) {
        self.0.retain(|nonce, _| !nonces.contains(nonce));
    }

    /// Forgets those that the chain counts, which is all below `counted`.
    ///
    /// Where it wants a nonce below all outstanding ones, nobody will ever send
    /// that: the chain began anew, or lost what came before. Then all are
    /// forgotten, so that their nonces are used again. An endpoint that lags
    /// behind looks the same for a moment; hence not before [`COUNTED_AFTER`].
    pub(super) fn forget_counted(&mut self, counted: u64, now: Instant) {
        self.0 = self.0.split_off(&counted);
        if let Some((first, sent)) = self.0.first_key_value()
            && *first > counted
            && now.saturating_duration_since(sent.at) >= COUNTED_AFTER
        {
            tracing::warn!(
                counted,
                first,
                "the chain lost transactions of this account; their nonces are used again"
            );
            self.0.clear();
        }
    }

    /// The nonce behind the last one.
    pub(super) fn next_nonce(&self) -> u64 {
        let last = self.0.last_key_value();
        last.map_or(0, |(nonce, _)| nonce.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Outstanding transactions with these nonces, sent at one time.
    fn outstanding(nonces: impl IntoIterator<Item = u64>, at: Instant) -> Outstanding {
        let mut outstanding = Outstanding::default();
        for nonce in nonces {
            let transaction = SignedTransaction {
                bytes: Vec::new().into(),
                hash: B256::with_last_byte(nonce as u8),
            };
            outstanding.note(nonce, transaction, at);
        }
        outstanding
    }

    #[test]
    fn after_a_reset_of_the_chain_nonces_are_used_again() {
        let sent = Instant::now();
        for counted in [0, 4] {
            let mut lost = outstanding(5..8, sent);
            lost.forget_counted(counted, sent + COUNTED_AFTER);
            assert_eq!(lost.next_nonce(), 0);
        }
    }

    #[test]
    fn a_count_that_lags_for_a_moment_loses_nothing() {
        let sent = Instant::now();
        let mut waiting = outstanding(5..8, sent);
        waiting.forget_counted(4, sent);
        assert_eq!(waiting.next_nonce(), 8);
        assert!(waiting.find(B256::with_last_byte(5)).is_some());
    }

    #[test]
    fn what_the_chain_does_not_count_yet_keeps_its_nonce() {
        let sent = Instant::now();
        let mut waiting = outstanding(5..8, sent);
        for (counted, next) in [(5, 8), (7, 8), (8, 0)] {
            waiting.forget_counted(counted, sent + 10 * COUNTED_AFTER);
            assert_eq!(waiting.next_nonce(), next);
        }
    }
}
