use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use alloy_primitives::Address;
use async_trait::async_trait;
use dm_core::{
    clock::now_ms,
    envelope::ObjectId,
    letter::Letter,
    ports::{NetworkError, NetworkStatus, NoticeNetwork, NoticeReport, NoticeSink},
};

use super::memory::MemoryNode;

/// Peers that keep a letter.
const KEEPERS: usize = 6;
/// Letters that are kept for one addressee.
const MAX_KEPT: usize = 1024;

/// Addressee, sender and object: there is one letter of each.
type Place = (Address, Address, ObjectId);

/// The letters that wait, with the peers that keep them.
#[derive(Default)]
pub(super) struct Kept(BTreeMap<Place, (Letter, Vec<String>)>);

impl Kept {
    fn insert(&mut self, letter: &Letter, keepers: Vec<String>) -> bool {
        let place = (letter.addressee(), letter.sender(), letter.object());
        let held = self.0.get(&place).map(|(held, _)| held.sequence());
        let is_new = held.is_none();
        let of_addressee = self.0.keys().filter(|(to, ..)| *to == letter.addressee());
        if is_new && of_addressee.count() >= MAX_KEPT {
            return false;
        }
        if held.is_none_or(|held| held <= letter.sequence()) {
            self.0.insert(place, (letter.clone(), keepers));
        }
        true
    }
}

/// For whom a node takes letters.
#[derive(Default)]
pub(super) struct Recipient(Mutex<Option<(Address, Arc<dyn NoticeSink>)>>);

impl Recipient {
    fn get(&self) -> Option<(Address, Arc<dyn NoticeSink>)> {
        self.0.lock().unwrap().clone()
    }
}

impl MemoryNode {
    /// From now on the node hands over the letters that are for this account.
    pub fn take_notices(&self, account: Address, sink: Arc<dyn NoticeSink>) {
        *self.recipient.0.lock().unwrap() = Some((account, sink));
    }
}

impl MemoryNode {
    /// Brings letters that have one addressee.
    async fn send_together(&self, letters: &[Letter]) -> Vec<NoticeReport> {
        let (now, mut reports) = (now_ms(), vec![NoticeReport::default(); letters.len()]);
        let (places, current): (Vec<usize>, Vec<Letter>) = letters
            .iter()
            .cloned()
            .enumerate()
            .filter(|(_, letter)| letter.is_current(now))
            .unzip();
        let Some(addressee) = current.first().map(Letter::addressee) else {
            return reports;
        };
        let mut keepers = Vec::new();
        for other in self.others() {
            match other.recipient.get() {
                Some((account, sink)) if account == addressee => {
                    let taken = sink.arrived(current.clone()).await;
                    for (place, is_taken) in places.iter().zip(taken) {
                        reports[*place].delivered |= is_taken;
                    }
                }
                _ => keepers.push(other.local_peer_id()),
            }
        }
        keepers.truncate(KEEPERS);
        for (place, letter) in places.into_iter().zip(&current) {
            let is_kept = !keepers.is_empty() && self.network.hub().notices.insert(letter, keepers.clone());
            reports[place].kept = if is_kept { keepers.len() } else { 0 };
        }
        reports
    }
}

#[async_trait]
impl NoticeNetwork for MemoryNode {
    async fn send_all(&self, letters: &[Letter]) -> Result<Vec<NoticeReport>, NetworkError> {
        let mut reports = Vec::with_capacity(letters.len());
        for together in letters.chunk_by(|one, next| one.addressee() == next.addressee()) {
            reports.extend(self.send_together(together).await);
        }
        Ok(reports)
    }

    async fn collect(&self, named: &[Address]) -> Result<Vec<Letter>, NetworkError> {
        let online: Vec<String> = self.others().iter().map(|other| other.local_peer_id()).collect();
        let (hub, now) = (self.network.hub(), now_ms());
        let is_own = |letter: &Letter| {
            let record = hub.records.get(&letter.addressee());
            record.is_some_and(|record| record.peer_id == self.local_peer_id())
        };
        let kept = hub.notices.0.values();
        let mut waiting: Vec<Letter> = kept
            .filter(|(_, keepers)| keepers.iter().any(|keeper| online.contains(keeper)))
            .map(|(letter, _)| letter.clone())
            .filter(|letter| is_own(letter) && letter.is_current(now))
            .collect();
        waiting.sort_by_key(|letter| {
            let is_named = named.contains(&letter.sender()) || named.contains(&letter.object().owner);
            (!is_named, letter.made_at())
        });
        Ok(waiting)
    }

    async fn is_there(&self, account: Address) -> Result<bool, NetworkError> {
        let record = self.network.hub().records.get(&account).cloned();
        let others = self.others();
        Ok(record.is_some_and(|record| others.iter().any(|other| other.local_peer_id() == record.peer_id)))
    }

    fn has_peers(&self) -> bool {
        !self.others().is_empty()
    }
}
