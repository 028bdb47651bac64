use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use alloy_primitives::Address;
use async_trait::async_trait;
use dm_core::{
    clock::now_ms,
    envelope::ObjectId,
    notice::SignedNotice,
    ports::{NetworkError, NetworkStatus, NoticeNetwork, NoticeReport, NoticeSink},
};

use super::memory::MemoryNode;

/// Peers that keep a notice.
const KEEPERS: usize = 6;
/// Notices that are kept for one recipient.
const MAX_KEPT: usize = 1024;

/// Recipient, sender and object: there is one notice of each.
type Place = (Address, Address, ObjectId);

/// The notices that wait, with the peers that keep them.
#[derive(Default)]
pub(super) struct Kept(BTreeMap<Place, (SignedNotice, Vec<String>)>);

impl Kept {
    fn insert(&mut self, notice: &SignedNotice, keepers: Vec<String>) -> bool {
        let place = (notice.recipient, notice.sender, notice.object);
        let held = self.0.get(&place).map(|(held, _)| held.sequence);
        let is_new = held.is_none();
        let of_recipient = self.0.keys().filter(|(to, ..)| *to == notice.recipient);
        if is_new && of_recipient.count() >= MAX_KEPT {
            return false;
        }
        if held.is_none_or(|held| held <= notice.sequence) {
            self.0.insert(place, (notice.clone(), keepers));
        }
        true
    }
}

/// For whom a node takes notices.
#[derive(Default)]
pub(super) struct Recipient(Mutex<Option<(Address, Arc<dyn NoticeSink>)>>);

impl Recipient {
    fn get(&self) -> Option<(Address, Arc<dyn NoticeSink>)> {
        self.0.lock().unwrap().clone()
    }
}

impl MemoryNode {
    /// From now on the node hands over the notices that are for this account.
    pub fn take_notices(&self, account: Address, sink: Arc<dyn NoticeSink>) {
        *self.recipient.0.lock().unwrap() = Some((account, sink));
    }
}

#[async_trait]
impl NoticeNetwork for MemoryNode {
    async fn send(&self, notice: &SignedNotice) -> Result<NoticeReport, NetworkError> {
        let mut report = NoticeReport::default();
        if !notice.is_current(now_ms()) {
            return Ok(report);
        }
        let mut keepers = Vec::new();
        for other in self.others() {
            match other.recipient.get() {
                Some((account, sink)) if account == notice.recipient => {
                    report.delivered |= sink.arrived(notice.clone()).await;
                }
                _ => keepers.push(other.local_peer_id()),
            }
        }
        keepers.truncate(KEEPERS);
        let count = keepers.len();
        if count > 0 && self.network.hub().notices.insert(notice, keepers) {
            report.kept = count;
        }
        Ok(report)
    }

    async fn collect(&self, named: &[Address]) -> Result<Vec<SignedNotice>, NetworkError> {
        let online: Vec<String> = self.others().iter().map(|other| other.local_peer_id()).collect();
        let (hub, now) = (self.network.hub(), now_ms());
        let is_own = |notice: &SignedNotice| {
            let record = hub.records.get(&notice.recipient);
            record.is_some_and(|record| record.peer_id == self.local_peer_id())
        };
        let kept = hub.notices.0.values();
        let mut waiting: Vec<SignedNotice> = kept
            .filter(|(_, keepers)| keepers.iter().any(|keeper| online.contains(keeper)))
            .map(|(notice, _)| notice.clone())
            .filter(|notice| is_own(notice) && notice.is_current(now))
            .collect();
        waiting.sort_by_key(|notice| {
            let is_named = named.contains(&notice.sender) || named.contains(&notice.object.owner);
            (!is_named, notice.made_at)
        });
        Ok(waiting)
    }
}
