//! Gives the chain its transactions, and gives them again when it has lost them.

use std::time::Duration;

use tokio::time::Instant;

use super::{Action, ChainSnapshot, Key, QueueConfig, item::Phase, items::Items};

/// A transaction that the chain does not count after this time is given to it
/// again; each further time it takes twice as long.
const RESEND_AFTER: Duration = Duration::from_secs(3);
/// How often that time is doubled at most.
const MAX_DOUBLINGS: u32 = 4;
/// Most transactions that are given to the chain again after one look.
const MAX_RESENDS: usize = 64;

/// Says what the chain gets.
pub(super) struct Sender {
    /// See [`ClientConfig::max_unmined`](crate::ClientConfig::max_unmined).
    max_unmined: u64,
}

impl Sender {
    pub(super) fn new(config: &QueueConfig) -> Self {
        Self {
            max_unmined: config.max_unmined,
        }
    }

    /// What the chain, which counts so many transactions, shall have by now.
    pub(super) fn send_due(&self, items: &mut Items, count: u64, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        while let Some(key) = items.take_due(now) {
            actions.extend(self.send(items, key, count));
        }
        actions
    }

    fn send(&self, items: &mut Items, key: Key, count: u64) -> Option<Action> {
        let end = count.saturating_add(self.max_unmined);
        let is_displaced = items.is_displaced(key);
        let item = items.get_mut(key)?;
        let Phase::Sending(sending) = &mut item.phase else {
            return None;
        };
        // Where the chain counts the nonce, receipts tell what became of it. What does not
        // fit into the mempool yet goes out when others are mined.
        let has_room = (count..end).contains(&item.nonce);
        let is_held_back = sending.is_barred || item.taken_back.is_some() || is_displaced;
        if sending.in_flight || is_held_back || !has_room {
            return None;
        }
        let version = item.versions.get(sending.current)?;
        sending.in_flight = true;
        Some(Action::Send {
            hash: version.hash,
            bytes: version.bytes.clone(),
        })
    }

    /// Lets the chain have again what it does not have (any more), after a look at it.
    pub(super) fn resend(
        &self,
        items: &mut Items,
        snapshot: &ChainSnapshot,
        has_advanced: bool,
        now: Instant,
    ) {
        let end = snapshot.count.saturating_add(self.max_unmined);
        let mut lost = 0;
        let waiting: Vec<_> = items
            .nonces()
            .bearers(snapshot.count..end)
            .map(|key| (key, items.is_displaced(key)))
            .collect();
        for (key, is_displaced) in waiting {
            let Some(item) = items.get_mut(key) else {
                continue;
            };
            let Phase::Sending(sending) = &mut item.phase else {
                continue;
            };
            sending.absent = 0;
            if sending.in_flight || sending.is_barred || is_displaced {
                continue;
            }
            let is_due = match sending.taken {
                // The mempool may have room for it now.
                None => sending.next.is_none() || (has_advanced && sending.tries > 0),
                Some(at) if item.nonce >= snapshot.pending && lost < MAX_RESENDS => {
                    let patience = RESEND_AFTER * 2u32.pow(sending.resends.min(MAX_DOUBLINGS));
                    let is_lost = now.saturating_duration_since(at) >= patience;
                    sending.resends += u32::from(is_lost);
                    lost += usize::from(is_lost);
                    is_lost
                }
                Some(_) => false,
            };
            if is_due {
                items.send_at(key, now);
            }
        }
    }
}
