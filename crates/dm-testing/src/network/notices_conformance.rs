//! What every adapter of [`NoticeNetwork`] promises; `notice_network_conformance!` makes the
//! tests.

use std::{
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use alloy_primitives::Address;
use async_trait::async_trait;
use dm_core::{
    acknowledgement::Acknowledgement,
    address_record::AddressRecord,
    clock::now_ms,
    letter::Letter,
    notice::Notice,
    ports::{AddressDirectory, NetworkStatus, NoticeNetwork, NoticeReport, NoticeSink, Signer},
    signed::Signed,
};

use crate::{objects::SampleObject, signer::TestSigner};

/// A node that brings notices, and is found by its address.
pub trait Notifier: NoticeNetwork + AddressDirectory + NetworkStatus {}

impl<T: NoticeNetwork + AddressDirectory + NetworkStatus> Notifier for T {}

/// Makes one test for every promise of [`NoticeNetwork`]. Takes the name of an async
/// function that starts one node for each of the given accounts with its sink, waits until
/// each is connected with all others, and returns `(Vec<Arc<dyn Notifier>>, guard)`; the
/// guard lives until the test ends.
#[macro_export]
macro_rules! notice_network_conformance {
    ($open:path) => {
        $crate::network_conformance!($open:
            a_notice_reaches_its_recipient_and_no_harm_comes_of_a_second_time,
            what_a_recipient_does_not_take_waits_for_it,
            the_newest_notice_of_a_sender_about_an_object_is_collected_once,
            those_of_named_senders_and_owners_come_first,
            what_has_ended_or_is_from_the_future_goes_nowhere,
            nobody_collects_the_notices_of_another,
            an_acknowledgement_reaches_its_owner_or_waits_for_it,
            letters_that_are_sent_together_come_together_and_have_a_report_each,
            an_account_is_there_whose_record_names_a_peer_that_is,
        );
    };
}

/// The id of a peer that does not exist.
const UNKNOWN_PEER: &str = "12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X";

/// An account, and who takes its notices.
pub type Member = (Address, Arc<dyn NoticeSink>);
type Nodes<Guard> = (Vec<Arc<dyn Notifier>>, Guard);

/// Remembers what arrives; or takes nothing, as long as it is closed.
#[derive(Default)]
pub struct MemoryInbox {
    is_closed: AtomicBool,
    taken: Mutex<Vec<Letter>>,
    /// How many letters came together each time.
    came: Mutex<Vec<usize>>,
}

impl MemoryInbox {
    /// Whether nothing is taken for now.
    pub fn set_closed(&self, is_closed: bool) {
        self.is_closed.store(is_closed, Ordering::SeqCst);
    }

    /// What has been taken.
    pub fn taken(&self) -> Vec<Letter> {
        self.taken.lock().unwrap().clone()
    }

    /// How many letters have come together each time.
    pub fn came(&self) -> Vec<usize> {
        self.came.lock().unwrap().clone()
    }
}

#[async_trait]
impl NoticeSink for MemoryInbox {
    async fn arrived(&self, letters: Vec<Letter>) -> Vec<bool> {
        let is_open = !self.is_closed.load(Ordering::SeqCst);
        let count = letters.len();
        self.came.lock().unwrap().push(count);
        if is_open {
            self.taken.lock().unwrap().extend(letters);
        }
        vec![is_open; count]
    }
}

/// Accounts 1, 2, … and the inbox of account 1.
fn members(count: u8) -> (Vec<Member>, Arc<MemoryInbox>) {
    let inbox = Arc::new(MemoryInbox::default());
    let mut members: Vec<Member> = vec![(TestSigner::new(1).address(), inbox.clone())];
    for account in 2..=count {
        let other = Arc::new(MemoryInbox::default());
        members.push((TestSigner::new(account).address(), other));
    }
    (members, inbox)
}

async fn announce(node: &dyn Notifier, account: u8) {
    let signer = TestSigner::new(account);
    let record = AddressRecord::new(signer.address(), [1; 32], node.local_peer_id(), 1);
    let record = Signed::sign(record, &signer).unwrap();
    node.announce(record.into()).await.unwrap();
}

/// A notice for account 1.
fn notice(sender: u8, seed: u64, sequence: u64) -> Letter {
    notice_of(sender, seed, sequence, now_ms())
}

fn notice_of(sender: u8, seed: u64, sequence: u64, made_at: u64) -> Letter {
    let signer = TestSigner::new(sender);
    let notice = Notice {
        sender: signer.address(),
        recipient: TestSigner::new(1).address(),
        // Somebody else's: a replica may send notices as well.
        object: SampleObject::new(100 + sender, seed, 1).id(),
        sequence,
        made_at,
        ends_at: made_at + 3_600_000,
    };
    Signed::sign(notice, &signer).unwrap().into()
}

/// One for account 1, about an object of its own.
fn acknowledgement(sender: u8, seed: u64) -> Letter {
    let signer = TestSigner::new(sender);
    let sample = SampleObject::new(1, seed, 1);
    let now = now_ms();
    let statement = Acknowledgement {
        recipient: signer.address(),
        object: sample.id(),
        commitment: [7; 32],
        sequence: 1,
        fetched_at: now,
        made_at: now,
    };
    Signed::sign(statement, &signer).unwrap().into()
}

/// It is handed over; sent again it is handed over again, or not.
pub async fn a_notice_reaches_its_recipient_and_no_harm_comes_of_a_second_time<Opened, Guard>(
    open: impl FnOnce(Vec<Member>) -> Opened,
) where
    Opened: Future<Output = Nodes<Guard>>,
{
    let (members, inbox) = members(2);
    let (nodes, _guard) = open(members).await;
    announce(&*nodes[0], 1).await;
    let notice = notice(2, 7, 1);
    for _ in 0..2 {
        assert!(nodes[1].send(&notice).await.unwrap().delivered);
    }
    assert_eq!(inbox.taken()[0], notice);
}

/// Others keep it until it is asked for, also from a node that has no part in it.
pub async fn what_a_recipient_does_not_take_waits_for_it<Opened, Guard>(
    open: impl FnOnce(Vec<Member>) -> Opened,
) where
    Opened: Future<Output = Nodes<Guard>>,
{
    let (members, inbox) = members(4);
    let (nodes, _guard) = open(members).await;
    inbox.set_closed(true);
    let notice = notice(2, 7, 1);
    let report = nodes[1].send(&notice).await.unwrap();
    assert!(!report.delivered && report.kept >= 1, "{report:?}");
    assert!(
        nodes[0].collect(&[]).await.unwrap().is_empty(),
        "nobody knows whose it is"
    );
    announce(&*nodes[0], 1).await;
    assert_eq!(nodes[0].collect(&[]).await.unwrap(), [notice]);
}

/// An older one that comes later changes nothing.
pub async fn the_newest_notice_of_a_sender_about_an_object_is_collected_once<Opened, Guard>(
    open: impl FnOnce(Vec<Member>) -> Opened,
) where
    Opened: Future<Output = Nodes<Guard>>,
{
    let (members, inbox) = members(3);
    let (nodes, _guard) = open(members).await;
    inbox.set_closed(true);
    for sequence in [2, 3, 1] {
        nodes[1].send(&notice(2, 7, sequence)).await.unwrap();
    }
    announce(&*nodes[0], 1).await;
    let collected = nodes[0].collect(&[]).await.unwrap();
    let sequences: Vec<u64> = collected.iter().map(|notice| notice.sequence()).collect();
    assert_eq!(sequences, [3]);
}

/// Whoever of the two is named.
pub async fn those_of_named_senders_and_owners_come_first<Opened, Guard>(
    open: impl FnOnce(Vec<Member>) -> Opened,
) where
    Opened: Future<Output = Nodes<Guard>>,
{
    let (members, inbox) = members(3);
    let (nodes, _guard) = open(members).await;
    inbox.set_closed(true);
    let now = now_ms();
    let sent: Vec<Letter> = (2..8)
        .map(|sender| notice_of(sender, 7, 1, now + u64::from(sender)))
        .collect();
    for notice in &sent {
        nodes[1].send(notice).await.unwrap();
    }
    announce(&*nodes[0], 1).await;
    let last = sent.last().unwrap();
    for named in [last.sender(), last.object().owner] {
        let collected = nodes[0].collect(&[named]).await.unwrap();
        assert_eq!((&collected[0], collected.len()), (last, sent.len()));
    }
}

/// It is neither handed over nor kept.
pub async fn what_has_ended_or_is_from_the_future_goes_nowhere<Opened, Guard>(
    open: impl FnOnce(Vec<Member>) -> Opened,
) where
    Opened: Future<Output = Nodes<Guard>>,
{
    let (members, inbox) = members(3);
    let (nodes, _guard) = open(members).await;
    announce(&*nodes[0], 1).await;
    let hour = 3_600_000;
    for made_at in [now_ms() - 2 * hour, now_ms() + hour] {
        let report = nodes[1].send(&notice_of(2, 7, 1, made_at)).await.unwrap();
        assert_eq!(report, NoticeReport::default());
    }
    assert!(inbox.taken().is_empty());
    assert!(nodes[0].collect(&[]).await.unwrap().is_empty());
}

/// Every node collects what is for its own account alone.
pub async fn nobody_collects_the_notices_of_another<Opened, Guard>(open: impl FnOnce(Vec<Member>) -> Opened)
where
    Opened: Future<Output = Nodes<Guard>>,
{
    let (members, inbox) = members(3);
    let (nodes, _guard) = open(members).await;
    inbox.set_closed(true);
    nodes[1].send(&notice(2, 7, 1)).await.unwrap();
    announce(&*nodes[2], 3).await;
    assert!(nodes[2].collect(&[]).await.unwrap().is_empty());
}

/// As a notice does, beside a notice about the same object.
pub async fn an_acknowledgement_reaches_its_owner_or_waits_for_it<Opened, Guard>(
    open: impl FnOnce(Vec<Member>) -> Opened,
) where
    Opened: Future<Output = Nodes<Guard>>,
{
    let (members, inbox) = members(4);
    let (nodes, _guard) = open(members).await;
    announce(&*nodes[0], 1).await;
    let first = acknowledgement(2, 7);
    assert!(nodes[1].send(&first).await.unwrap().delivered);
    assert_eq!(inbox.taken()[0], first);
    inbox.set_closed(true);
    let letters = [acknowledgement(3, 8), notice(3, 8, 1)];
    for letter in &letters {
        let report = nodes[2].send(letter).await.unwrap();
        assert!(!report.delivered && report.kept >= 1, "{report:?}");
    }
    let collected = nodes[0].collect(&[]).await.unwrap();
    for letter in &letters {
        assert!(collected.contains(letter), "{letter:?}");
    }
}

/// Also where they are of both kinds, one of them has ended, and another addressee's stands
/// between them.
pub async fn letters_that_are_sent_together_come_together_and_have_a_report_each<Opened, Guard>(
    open: impl FnOnce(Vec<Member>) -> Opened,
) where
    Opened: Future<Output = Nodes<Guard>>,
{
    let (members, inbox) = members(2);
    let (nodes, _guard) = open(members).await;
    announce(&*nodes[0], 1).await;
    let mut letters: Vec<Letter> = (0..50).map(|seed| notice(2, seed, 1)).collect();
    letters.extend((50..60).map(|seed| acknowledgement(2, seed)));
    let reports = nodes[1].send_all(&letters).await.unwrap();
    assert!(reports.len() == letters.len() && reports.iter().all(|report| report.delivered));
    assert_eq!(inbox.taken()[..letters.len()], letters);
    // They may have come again by another way.
    assert!(inbox.came().iter().all(|count| *count == letters.len()));

    let elsewhere = Notice {
        recipient: TestSigner::new(9).address(),
        object: SampleObject::new(102, 7, 1).id(),
        sender: TestSigner::new(2).address(),
        sequence: 1,
        made_at: now_ms(),
        ends_at: now_ms() + 3_600_000,
    };
    let elsewhere = Signed::sign(elsewhere, &TestSigner::new(2)).unwrap().into();
    let ended = notice_of(2, 90, 1, now_ms() - 2 * 3_600_000);
    let mixed = [notice(2, 91, 1), ended, elsewhere, notice(2, 92, 1)];
    let reports = nodes[1].send_all(&mixed).await.unwrap();
    let delivered: Vec<bool> = reports.iter().map(|report| report.delivered).collect();
    assert_eq!(delivered, [true, false, false, true]);
    assert!(nodes[1].send_all(&[]).await.unwrap().is_empty());
}

/// Nobody is there who has not said where.
pub async fn an_account_is_there_whose_record_names_a_peer_that_is<Opened, Guard>(
    open: impl FnOnce(Vec<Member>) -> Opened,
) where
    Opened: Future<Output = Nodes<Guard>>,
{
    let (members, _) = members(3);
    let (nodes, _guard) = open(members).await;
    assert!(nodes.iter().all(|node| node.has_peers()));
    let account = TestSigner::new(1).address();
    assert!(!nodes[1].is_there(account).await.unwrap());
    announce(&*nodes[0], 1).await;
    assert!(nodes[1].is_there(account).await.unwrap());
    let signer = TestSigner::new(2);
    // A peer that never was.
    let record = AddressRecord::new(signer.address(), [1; 32], UNKNOWN_PEER.to_owned(), 1);
    let record = Signed::sign(record, &signer).unwrap();
    nodes[1].announce(record.into()).await.unwrap();
    assert!(!nodes[2].is_there(signer.address()).await.unwrap());
}
