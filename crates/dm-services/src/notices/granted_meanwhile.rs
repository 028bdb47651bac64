//! Letters that are under way while their recipients get grants: they may have found none.

use std::collections::HashMap;

use alloy_primitives::Address;
use tokio::time::Instant;

use super::send::Sent;

/// Recipients who have got grants while letters to them were under way, and when.
#[derive(Default)]
pub(super) struct GrantedMeanwhile(HashMap<Address, Instant>);

impl GrantedMeanwhile {
    /// These, to whom letters are under way, have got grants.
    pub(super) fn note(&mut self, recipients: impl Iterator<Item = Address>, at: Instant) {
        self.0.extend(recipients.map(|recipient| (recipient, at)));
    }

    /// No letter to the others is under way any more.
    pub(super) fn forget_all_but(&mut self, is_under_way: impl Fn(&Address) -> bool) {
        self.0.retain(|recipient, _| is_under_way(recipient));
    }

    /// What came of these letters, with the times at which they were begun. Those that may have
    /// found no grant and have one by now are due again at `now`.
    pub(super) fn hurry(&self, ended: Vec<(Instant, Vec<Sent>)>, now: u64) -> Vec<Sent> {
        let mut all = Vec::new();
        for (began, sent) in ended {
            for (due, again) in sent {
                let is_granted = self.0.get(&due.addressee).is_some_and(|at| *at >= began);
                let again = match again {
                    Some(again) if is_granted && again.waits_unheard() => Some(again.hurried(now)),
                    again => again,
                };
                all.push((due, again));
            }
        }
        all
    }
}
