//! Further versions of a transaction on its way: with the same nonce and a higher
//! price, or empty where the operation is given up.

use std::{sync::Arc, time::Duration};

use alloy::primitives::Address;
use tokio::time::Instant;

use super::{
    Key, QueueConfig,
    assign::job,
    item::{Obstacle, Phase, Sending, dearer_version},
    items::Items,
};
use crate::{
    transactions::meter::TransactionMeter,
    tx::{Fees, Price, SigningJob},
};

/// A transaction that another one with its nonce keeps out pays at most so many
/// times what the chain asks.
const MAX_OUTBIDDING: u128 = 4;
/// A version that the chain refused for what it pays is offered again after so many
/// times the patience that a transaction is shown before it is replaced.
const DEARER_PAUSE: u32 = 10;

/// Replaces transactions that do not get into a block.
pub(super) struct Replacer {
    account: Address,
    max_fee_per_gas: u128,
    /// See [`ClientConfig::replace_after`](crate::ClientConfig::replace_after).
    patience: Duration,
    meter: Arc<TransactionMeter>,
}

impl Replacer {
    pub(super) fn new(config: &QueueConfig) -> Self {
        Self {
            account: config.account,
            max_fee_per_gas: config.max_fee_per_gas,
            patience: config.replace_after,
            meter: config.meter.clone(),
        }
    }

    /// Whether the price of gas may make a further version of one due.
    pub(super) fn wants_price(&self, items: &Items, now: Instant) -> bool {
        let mut sending = items.bearers().filter_map(|(key, _)| items.sending(key));
        sending.any(|sending| {
            sending.too_cheap || sending.is_outbid || sending.is_barred || self.has_waited(sending, now)
        })
    }

    /// New versions of what waits too long, pays too little, or is given up; at most so
    /// many.
    pub(super) fn replace(
        &self,
        items: &mut Items,
        price: Price,
        room: usize,
        now: Instant,
    ) -> Vec<(Key, SigningJob)> {
        let keys: Vec<_> = items.nonces().all_bearers().collect();
        let jobs = keys
            .into_iter()
            .filter_map(|key| Some((key, self.replacement(items, key, price, now)?)));
        jobs.take(room).collect()
    }

    fn replacement(&self, items: &mut Items, key: Key, price: Price, now: Instant) -> Option<SigningJob> {
        if items.is_displaced(key) {
            return None;
        }
        let item = items.get_mut(key)?;
        let Phase::Sending(sending) = &mut item.phase else {
            return None;
        };
        let offered = match sending.dearer_refused {
            // What the chain refused is not worth to be outbid.
            Some(_) => item.versions.get(sending.current)?.fees,
            None => item.versions.last()?.fees,
        };
        if sending.is_replaced || !is_due(sending, offered, price, self.has_waited(sending, now)) {
            return None;
        }
        let Some(fees) = replacement_fees(sending, offered, price, self.max_fee_per_gas) else {
            item.obstacle = Some(Obstacle::AboveCeiling);
            return None;
        };
        if sending.dearer_refused.is_some()
            && let Some(dearer) = dearer_version(&item.versions, sending.current)
            && !fees.is_well_below(item.versions[dearer].fees)
        {
            self.offer_again(items, key, dearer, now);
            return None;
        }
        sending.is_replaced = true;
        self.meter.replaced.increment();
        tracing::info!(nonce = item.nonce, ?fees, "a transaction is replaced");
        Some(job(item, fees, self.account))
    }

    /// The chain gets the version again that it has refused, since it asks for as much
    /// still. After a rest: the reason may have passed. No further version is made:
    /// each would pay more, and lie in the journal.
    fn offer_again(&self, items: &mut Items, key: Key, version: usize, now: Instant) {
        let Some(Phase::Sending(sending)) = items.get_mut(key).map(|item| &mut item.phase) else {
            return;
        };
        let rest = self.patience * DEARER_PAUSE;
        if !sending.in_flight && now.saturating_duration_since(sending.priced) >= rest {
            sending.offer(version, now);
            items.send_at(key, now);
        }
    }

    fn has_waited(&self, sending: &Sending, now: Instant) -> bool {
        now.saturating_duration_since(sending.priced) >= self.patience
    }
}

/// Whether a transaction that offers these fees needs another version now.
fn is_due(sending: &Sending, offered: Fees, price: Price, has_waited: bool) -> bool {
    if sending.is_barred {
        return true;
    }
    let pays_too_little = price.is_above(offered);
    if sending.dearer_refused.is_some() {
        return pays_too_little && has_waited;
    }
    let is_underpaid = pays_too_little && (sending.too_cheap || has_waited);
    // Paying ever more does not help against another program that holds the nonce.
    let may_outbid = offered.highest() < price.ample().saturating_mul(MAX_OUTBIDDING);
    let is_unwanted = sending.too_cheap || (sending.is_outbid && may_outbid);
    is_underpaid || (is_unwanted && has_waited)
}

/// What the next version pays; `None` where that is above the ceiling.
fn replacement_fees(sending: &Sending, offered: Fees, price: Price, ceiling: u128) -> Option<Fees> {
    let least = price.fees(ceiling).ok()?;
    let raised = offered.raised(least, ceiling);
    // The chain has refused what an empty transaction replaces, so it need not pay more.
    raised.or(Some(least).filter(|_| sending.is_barred))
}
