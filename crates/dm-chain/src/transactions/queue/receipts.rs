//! What receipts show: which transactions are mined, which of them are final,
//! which were taken back, and which nonces somebody else has used.

use std::collections::HashMap;

use alloy::primitives::B256;
use tokio::time::Instant;

use super::{
    ChainSnapshot, Key, QueueConfig,
    identity::Identity,
    item::{Item, Phase, Sending},
    items::Items,
    ledger::Ledger,
    watch::Watch,
};
use crate::{transactions::journal::Mined, tx::ExpectedTransfer};

/// How often in a row a counted nonce must have no receipt before somebody else used it.
const MAX_ABSENT: u32 = 3;

/// The chain was reorganised: what was seen of mined transactions counts no
/// more until their receipts are seen again.
pub(super) fn doubt_all(items: &mut Items) {
    let keys: Vec<_> = items.nonces().all_bearers().collect();
    for key in keys {
        if let Some(item) = items.get_mut(key) {
            item.is_doubted = matches!(item.phase, Phase::Mined(_));
        }
    }
}

/// The chain is the same one, and does not count what a block had: it has taken
/// that back. Where it counts the nonce, the receipts tell; and a head below the
/// block tells nothing.
pub(super) fn confirm_taken_back(ledger: &mut Ledger, snapshot: &ChainSnapshot) {
    let keys: Vec<_> = ledger.items.nonces().bearers(snapshot.count..u64::MAX).collect();
    for key in keys {
        let Some(item) = ledger.items.get_mut(key) else {
            continue;
        };
        let taken_back = item.taken_back.take_if(|mined| mined.block <= snapshot.height);
        if taken_back.is_some() {
            ledger.note(key);
        }
    }
}

/// The newest block that has one of the own transactions that are not final.
pub(super) fn newest_block(items: &Items) -> Option<(u64, B256)> {
    let blocks = items.bearers().filter_map(|(_, item)| match item.phase {
        Phase::Mined(mined) => Some((mined.block, mined.block_hash)),
        _ => None,
    });
    blocks.max()
}

/// Whether a nonce is counted and no version of its transaction had a receipt.
pub(super) fn is_any_absent(items: &Items) -> bool {
    let mut sending = items.bearers().filter_map(|(key, _)| items.sending(key));
    sending.any(|sending| sending.absent > 0)
}

/// Judges receipts.
pub(super) struct Receipts {
    /// Blocks on top of one that make it final.
    confirmations: u64,
}

impl Receipts {
    pub(super) fn new(config: &QueueConfig) -> Self {
        Self {
            confirmations: config.confirmations,
        }
    }

    /// Receipts to ask for: of what the chain counts, of what a reorganisation
    /// may have taken back, and of what is old enough to be final.
    pub(super) fn in_doubt(&self, items: &Items, watch: &Watch) -> Vec<(B256, ExpectedTransfer)> {
        let doubted = items.bearers().filter(|(_, item)| match &item.phase {
            Phase::Sending(_) => item.nonce < watch.count(),
            Phase::Mined(mined) => item.is_doubted || self.is_old(mined, watch),
            _ => false,
        });
        let versions = doubted.flat_map(|(_, item)| {
            let hashes = item.versions.iter().map(|version| version.hash);
            hashes.map(|hash| (hash, item.draft.transfer))
        });
        versions.collect()
    }

    /// Whether enough blocks were on top of a transaction at the last look.
    fn is_old(&self, mined: &Mined, watch: &Watch) -> bool {
        watch.height() >= mined.block.saturating_add(self.confirmations)
    }

    /// Takes note of the receipts that were asked for.
    pub(super) fn fetched(
        &self,
        ledger: &mut Ledger,
        identity: &mut Identity,
        watch: &mut Watch,
        receipts: Vec<(B256, Option<Mined>)>,
        now: Instant,
    ) {
        let receipts: HashMap<_, _> = receipts.into_iter().collect();
        let keys: Vec<_> = ledger.items.nonces().all_bearers().collect();
        for key in keys {
            let evidence = ledger.items.get(key).map(|item| evidence(item, &receipts));
            match evidence {
                Some(Evidence::Mined(mined)) if self.is_old(&mined, watch) => {
                    note_mined(ledger, key, mined);
                    // This receipt was seen when the block was deep enough: an earlier one
                    // may be of a block that is gone.
                    identity.note_final(mined.block, mined.block_hash);
                    ledger.conclude(key, mined);
                }
                Some(Evidence::Mined(mined)) => {
                    if note_mined(ledger, key, mined) {
                        note_seen(ledger, key);
                    }
                }
                Some(Evidence::Absent) => note_absent(ledger, watch, key, now),
                Some(Evidence::Unknown) | None => {}
            }
        }
    }
}

/// A block has a transaction; whether that is news.
fn note_mined(ledger: &mut Ledger, key: Key, mined: Mined) -> bool {
    let Some(item) = ledger.items.get_mut(key) else {
        return false;
    };
    let is_news = !matches!(item.phase, Phase::Mined(known) if known == mined);
    item.is_doubted = false;
    item.taken_back = None;
    item.obstacle = None;
    // Whoever sent an anchor looks after it from now on.
    item.is_orphan = item.id.is_none();
    ledger.items.set_phase(key, Phase::Mined(mined));
    ledger.answer_begun(key, &Ok(mined.hash));
    is_news
}

/// Lets the journal know that a block has an operation: should the chain begin
/// anew, it is not done again.
fn note_seen(ledger: &mut Ledger, key: Key) {
    if ledger.items.get(key).is_some_and(|item| item.id.is_some()) {
        ledger.note(key);
    }
}

/// No block has any version of a transaction.
fn note_absent(ledger: &mut Ledger, watch: &mut Watch, key: Key, now: Instant) {
    let Some(item) = ledger.items.get_mut(key) else {
        return;
    };
    match &mut item.phase {
        Phase::Mined(mined) => {
            let mined = *mined;
            tracing::warn!(hash = %mined.hash, "a reorganisation took a transaction back");
            take_back(&mut ledger.items, key, mined, now);
            // Perhaps the whole chain is gone: the next look tells.
            watch.hold_sends();
        }
        Phase::Sending(sending) if item.nonce < watch.count() => {
            sending.absent += 1;
            // Nothing rests on an anchor's nonce; an operation's must be lost for good.
            let is_final = watch.final_count().is_some_and(|count| item.nonce < count);
            if sending.absent >= MAX_ABSENT && (item.id.is_none() || is_final) {
                lose_nonce(ledger, key);
            }
        }
        _ => {}
    }
}

/// No block has this any more.
fn take_back(items: &mut Items, key: Key, mined: Mined, now: Instant) {
    let Some(item) = items.get_mut(key) else {
        return;
    };
    let current = item
        .versions
        .iter()
        .position(|version| version.hash == mined.hash);
    let current = current.unwrap_or_default();
    let mut sending = Sending::again(current, &item.versions, item.refused.as_ref(), now);
    if item.is_orphan {
        // Whoever sent it may want its nonce for the next one.
        sending.next = None;
        sending.taken = Some(now);
    }
    item.is_doubted = false;
    item.taken_back = Some(mined);
    items.set_phase(key, Phase::Sending(sending));
}

/// Another program's transaction has used up the nonce for good.
fn lose_nonce(ledger: &mut Ledger, key: Key) {
    match ledger.items.get(key).is_some_and(|item| item.refused.is_some()) {
        // That is as good as an empty one of the own.
        true => ledger.end_refused(key),
        false => ledger.take_other_nonce(key),
    }
}

/// What the receipts say of a transaction.
enum Evidence {
    /// A block has one of its versions.
    Mined(Mined),
    /// No block has any.
    Absent,
    /// Not all could be asked for.
    Unknown,
}

fn evidence(item: &Item, receipts: &HashMap<B256, Option<Mined>>) -> Evidence {
    let found: Vec<_> = item
        .versions
        .iter()
        .map(|version| receipts.get(&version.hash))
        .collect();
    match found.iter().copied().flatten().flatten().next() {
        Some(mined) => Evidence::Mined(*mined),
        None if found.is_empty() || found.contains(&None) => Evidence::Unknown,
        None => Evidence::Absent,
    }
}
