//! Which transactions get a nonce now: those that the account can pay for, in the order
//! of the orders.

use std::time::Duration;

use alloy::primitives::{Address, U256};
use dm_core::ports::ChainError;
use tokio::time::Instant;

use super::{
    ChainSnapshot, Key, QueueConfig,
    item::{Item, Phase},
    items::Items,
    ledger::Ledger,
    nonces::NonceCursor,
};
use crate::tx::{Fees, SigningJob};

/// Assigns nonces.
pub(super) struct Assigner {
    account: Address,
    max_fee_per_gas: u128,
    /// Why nothing can be begun, and since when.
    refusing: Option<(Instant, ChainError)>,
}

impl Assigner {
    pub(super) fn new(config: &QueueConfig) -> Self {
        Self {
            account: config.account,
            max_fee_per_gas: config.max_fee_per_gas,
            refusing: None,
        }
    }

    /// For how long nothing could be begun, and why.
    pub(super) fn refusing(&self, now: Instant) -> Option<(Duration, ChainError)> {
        let (since, refusal) = self.refusing.as_ref()?;
        Some((now.saturating_duration_since(*since), refusal.clone()))
    }

    /// Something was begun.
    pub(super) fn note_begun(&mut self) {
        self.refusing = None;
    }

    /// Nothing can be begun, not even what moves no coins.
    fn note_refusing(&mut self, refusal: &ChainError, now: Instant) {
        let since = self.refusing.as_ref().map_or(now, |(since, _)| *since);
        self.refusing = Some((since, refusal.clone()));
    }

    /// Gives nonces to at most so many of those that wait for one. The snapshot has a
    /// price and a balance, or none gets one.
    pub(super) fn assign(
        &mut self,
        ledger: &mut Ledger,
        snapshot: &ChainSnapshot,
        room: usize,
        now: Instant,
    ) -> Vec<(Key, SigningJob)> {
        let (Some(price), Some(balance)) = (snapshot.price, snapshot.balance) else {
            return Vec::new();
        };
        let fees = match price.fees(self.max_fee_per_gas) {
            Ok(fees) => fees,
            Err(refusal) => {
                self.note_refusing(&refusal, now);
                ledger.refuse_queued(&refusal);
                return Vec::new();
            }
        };
        let mut funds = Funds {
            balance,
            reserved: self.reserved(&ledger.items, snapshot.count),
        };
        let counted = snapshot.pending.max(snapshot.count);
        let mut nonces = NonceCursor::from(counted.max(ledger.items.nonces().floor()));
        let (mut jobs, mut postponed) = (Vec::new(), Vec::new());
        while jobs.len() < room
            && let Some(key) = ledger.items.take_queued()
        {
            match self.admit(ledger, key, fees, &mut funds, now) {
                Admission::Granted => {
                    let job = self.first_version(&mut ledger.items, key, snapshot, fees, &mut nonces);
                    jobs.extend(job.map(|job| (key, job)));
                }
                Admission::Postponed => postponed.push(key),
                Admission::Refused => {}
            }
        }
        ledger.items.put_back(postponed.into_iter());
        jobs
    }

    /// Whether the account can pay for one more; reserves what it may cost.
    fn admit(
        &mut self,
        ledger: &mut Ledger,
        key: Key,
        fees: Fees,
        funds: &mut Funds,
        now: Instant,
    ) -> Admission {
        let Some(item) = ledger.items.get(key) else {
            return Admission::Refused;
        };
        let needed = funds.reserved.saturating_add(item.draft.cost(fees.highest()));
        if needed <= funds.balance {
            funds.reserved = needed;
            return Admission::Granted;
        }
        // What was begun with a nonce that another program has used stays begun.
        if !item.versions.is_empty() {
            return Admission::Postponed;
        }
        let refusal = ChainError::InsufficientFunds {
            account: self.account,
            balance: funds.balance,
            needed,
        };
        // Who wants to send more coins than there are says nothing of the account.
        if item.draft.call.value.is_zero() {
            self.note_refusing(&refusal, now);
        }
        ledger.give_up(key, &refusal);
        Admission::Refused
    }

    /// Gives a transaction its nonce: that of one which is of no use, where it may be
    /// done twice, or else the next free one.
    fn first_version(
        &self,
        items: &mut Items,
        key: Key,
        snapshot: &ChainSnapshot,
        fees: Fees,
        nonces: &mut NonceCursor,
    ) -> Option<SigningJob> {
        let item = items.get(key)?;
        // An operation keeps the nonce that it has been noted with, so it takes over none.
        let taken_over = match item.id {
            None => self.replaceable(items, snapshot, fees),
            Some(_) => None,
        };
        let (nonce, fees) =
            taken_over.unwrap_or_else(|| (nonces.take(items.nonces(), item.least_nonce), fees));
        items.stage(key, nonce);
        Some(job(items.get(key)?, fees, self.account))
    }

    /// The nonce of the first transaction of no use that waits, and fees with which
    /// another one takes its place. One behind a gap has to wait: first the gap is filled.
    fn replaceable(&self, items: &Items, snapshot: &ChainSnapshot, least: Fees) -> Option<(u64, Fees)> {
        let end = items.nonces().first_free(snapshot.count.max(snapshot.pending));
        let waiting = items
            .nonces()
            .bearers(snapshot.count..end)
            .filter_map(|key| Some((key, items.get(key)?)));
        let (_, orphan) = waiting
            .filter(|(_, item)| item.is_orphan && is_at_rest(item))
            .find(|(key, _)| !items.is_displaced(*key))?;
        let newest = orphan.versions.last()?.fees;
        Some((orphan.nonce, newest.raised(least, self.max_fee_per_gas)?))
    }

    /// What the transactions that are not mined yet may still cost.
    fn reserved(&self, items: &Items, count: u64) -> U256 {
        let unmined = items
            .nonces()
            .bearers(count..u64::MAX)
            .filter(|key| !items.is_displaced(*key))
            .filter_map(|key| items.get(key));
        unmined.fold(U256::ZERO, |sum, item| {
            sum.saturating_add(item.cost(self.account))
        })
    }
}

/// What has to be signed for the next version of a transaction.
pub(super) fn job(item: &Item, fees: Fees, account: Address) -> SigningJob {
    SigningJob {
        draft: item.next_draft(account),
        nonce: item.nonce,
        fees,
    }
}

/// Whether the chain has what it shall have of a transaction for now.
fn is_at_rest(item: &Item) -> bool {
    matches!(&item.phase, Phase::Sending(sending) if !sending.in_flight && !sending.is_replaced)
}

/// What the account has, and what of it is spoken for, in wei.
struct Funds {
    balance: U256,
    reserved: U256,
}

/// Whether a transaction that waits gets a nonce.
enum Admission {
    /// It does.
    Granted,
    /// It does when there are more coins.
    Postponed,
    /// It never will.
    Refused,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        transactions::queue::tests::fixtures::{config, order},
        tx::Price,
    };

    fn snapshot(balance: u64) -> ChainSnapshot {
        ChainSnapshot {
            count: 5,
            pending: 5,
            price: Some(Price {
                base: 0,
                tip: 1,
                is_dynamic: false,
            }),
            balance: Some(U256::from(balance)),
            ..ChainSnapshot::default()
        }
    }

    #[test]
    fn nonces_follow_what_the_chain_counts_as_far_as_there_is_room() {
        let (mut assigner, mut ledger) = (Assigner::new(&config()), Ledger::new(&config()));
        let now = Instant::now();
        (0..3).for_each(|operation| order(&mut ledger, operation, now));
        let jobs = assigner.assign(&mut ledger, &snapshot(u64::MAX), 2, now);
        let nonces: Vec<_> = jobs.iter().map(|(_, job)| job.nonce).collect();
        assert_eq!(nonces, [5, 6]);
        assert!(ledger.items.has_queued());
    }

    #[test]
    fn an_account_without_coins_begins_nothing_and_says_since_when() {
        let (mut assigner, mut ledger) = (Assigner::new(&config()), Ledger::new(&config()));
        let now = Instant::now();
        for seconds in [0, 5] {
            order(&mut ledger, 0, now);
            let later = now + Duration::from_secs(seconds);
            assert!(assigner.assign(&mut ledger, &snapshot(0), 9, later).is_empty());
            assert_eq!(ledger.take_answers().len(), 1, "who ordered it is told");
            let (lasting, refusal) = assigner.refusing(later).unwrap();
            assert_eq!(lasting.as_secs(), seconds);
            assert!(matches!(refusal, ChainError::InsufficientFunds { .. }));
        }
        assigner.note_begun();
        assert_eq!(assigner.refusing(now), None);
    }
}
