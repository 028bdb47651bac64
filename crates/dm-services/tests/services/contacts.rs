//! Contacts: one name for one address, within bounds, and what changes about them.

use std::sync::Arc;

use dm_core::{
    Address,
    address_record::AddressRecord,
    contact::{Contact, ContactName, Party, RecordPart, Trust},
    news::News,
    ports::{AddressDirectory, ContactBook, OwnerStanding, Signer},
    signed::Signed,
};
use dm_services::{ContactError, ContactPorts, Contacts, KnownOwners, NewContact};
use dm_testing::{catalog::samples::contact, signer::TestSigner};

use crate::support::{TestNode, World};

fn name(text: &str) -> ContactName {
    text.parse().unwrap()
}

fn new(address: Address, trust: Trust) -> NewContact {
    NewContact {
        address,
        trust,
        note: None,
    }
}

fn contacts_of(node: &TestNode) -> Contacts {
    Contacts::new(ContactPorts {
        book: node.catalog.clone(),
        directory: node.network.clone(),
        bus: node.ports.bus.clone(),
    })
}

/// Has another node of the network announce such a record.
async fn announce(node: &TestNode, account: u8, key: u8, peer_id: &str, sequence: u64) {
    let signer = TestSigner::new(account);
    let record = AddressRecord::new(signer.address(), [key; 32], peer_id.to_owned(), sequence);
    let record = Signed::sign(record, &signer).unwrap();
    node.network.announce(record.into()).await.unwrap();
}

#[tokio::test]
async fn a_contact_stands_for_its_address_whatever_the_case_of_its_name() {
    let node = World::new().node(1).await;
    let contacts = contacts_of(&node);
    let address = TestSigner::new(2).address();
    let (added, is_new) = contacts
        .put(name("Acme"), new(address, Trust::Accept))
        .await
        .unwrap();
    assert!(is_new && added.added_at > 0);
    let party: Party = "ACME".parse().unwrap();
    assert_eq!(contacts.address_of(party).await.unwrap(), address);
    let plain = Party::Address(Address::repeat_byte(9));
    assert_eq!(contacts.address_of(plain).await.unwrap(), Address::repeat_byte(9));
    let unknown = contacts.address_of(Party::Contact(name("nobody"))).await;
    assert!(matches!(unknown, Err(ContactError::Unknown(_))));
    let (changed, is_new) = contacts
        .put(name("acme"), new(address, Trust::Block))
        .await
        .unwrap();
    assert!(!is_new);
    assert_eq!((changed.added_at, changed.trust), (added.added_at, Trust::Block));
    contacts.remove(&name("acme")).await.unwrap();
    assert!(matches!(
        contacts.remove(&name("acme")).await,
        Err(ContactError::Unknown(_))
    ));
}

#[tokio::test]
async fn an_address_has_one_name() {
    let node = World::new().node(1).await;
    let contacts = contacts_of(&node);
    let new = new(Address::repeat_byte(2), Trust::Accept);
    contacts.put(name("acme"), new.clone()).await.unwrap();
    let second = contacts.put(name("other"), new).await;
    assert!(matches!(second, Err(ContactError::AddressTaken(taken)) if taken == name("acme")));
}

#[tokio::test]
async fn a_note_is_bounded_and_is_text() {
    let node = World::new().node(1).await;
    let contacts = contacts_of(&node);
    let put = async |note: &str| {
        let new = NewContact {
            note: Some(note.to_owned()),
            ..new(Address::repeat_byte(2), Trust::Ask)
        };
        contacts.put(name("acme"), new).await
    };
    for note in ["", "näher\nbekannt", &"ä".repeat(500)] {
        assert!(put(note).await.is_ok(), "{note}");
    }
    for note in [&"ä".repeat(501), "bell \u{7}", "\u{1b}[2J", "\0"] {
        let refused = put(note).await;
        assert!(matches!(refused, Err(ContactError::Note(_))), "{note:?}");
    }
}

#[tokio::test]
async fn there_are_ten_thousand_contacts_at_most() {
    let node = World::new().node(1).await;
    for n in 0..10_000_u32 {
        let mut address = [0; 20];
        address[..4].copy_from_slice(&n.to_be_bytes());
        let filler = Contact {
            address: address.into(),
            ..contact(&format!("n{n}"), 1)
        };
        node.catalog.put_contact(&filler).await.unwrap();
    }
    let contacts = contacts_of(&node);
    let last = contacts
        .put(name("last"), new(Address::repeat_byte(9), Trust::Accept))
        .await;
    assert!(matches!(last, Err(ContactError::TooMany)), "{last:?}");
    // One that there is can still be changed.
    let known = node.catalog.contact(&name("n7")).await.unwrap().unwrap();
    let (_, is_new) = contacts
        .put(known.name, new(known.address, Trust::Block))
        .await
        .unwrap();
    assert!(!is_new);
}

#[tokio::test]
async fn a_changed_key_or_peer_is_shown_and_told_until_the_operator_confirms_it() {
    let node = World::new().node(1).await;
    let contacts = contacts_of(&node);
    let acme = new(TestSigner::new(2).address(), Trust::Accept);
    contacts.put(name("acme"), acme.clone()).await.unwrap();
    // Nothing is known yet, and the first record is believed.
    contacts.look_at_all().await.unwrap();
    announce(&node, 2, 1, "first-peer", 1).await;
    contacts.look_at_all().await.unwrap();
    let kept = contacts.get(&name("acme")).await.unwrap();
    assert!(kept.confirmed.is_some() && kept.changes().is_empty());
    let mut events = node.ports.bus.subscribe();
    announce(&node, 2, 7, "first-peer", 2).await;
    contacts.look_at_all().await.unwrap();
    contacts.look_at_all().await.unwrap();
    let changed = contacts.get(&name("acme")).await.unwrap();
    assert_eq!(changed.changes(), [RecordPart::Key]);
    let told = events.try_recv().unwrap().news;
    assert_eq!(
        told,
        News::ContactChanged {
            name: name("acme"),
            address: acme.address,
            what: vec![RecordPart::Key],
        }
    );
    assert!(events.try_recv().is_err(), "it is told once");
    let (confirmed, _) = contacts.put(name("acme"), acme.clone()).await.unwrap();
    assert_eq!(confirmed.changes(), []);
    announce(&node, 2, 7, "second-peer", 3).await;
    contacts.look_at_all().await.unwrap();
    let moved = contacts.get(&name("acme")).await.unwrap();
    assert_eq!(moved.changes(), [RecordPart::Peer]);
}

#[tokio::test]
async fn another_address_begins_without_what_was_known_of_the_old_one() {
    let node = World::new().node(1).await;
    let contacts = contacts_of(&node);
    let acme = new(TestSigner::new(2).address(), Trust::Accept);
    contacts.put(name("acme"), acme).await.unwrap();
    announce(&node, 2, 1, "peer", 1).await;
    contacts.look_at_all().await.unwrap();
    let moved = new(TestSigner::new(3).address(), Trust::Accept);
    let (moved, _) = contacts.put(name("acme"), moved).await.unwrap();
    assert_eq!(moved.confirmed, None);
    announce(&node, 3, 9, "other", 1).await;
    contacts.look_at_all().await.unwrap();
    let kept = contacts.get(&name("acme")).await.unwrap();
    assert_eq!(kept.changes(), []);
}

/// Everybody whose first byte is even.
struct EvenOwners;

#[async_trait::async_trait]
impl OwnerStanding for EvenOwners {
    async fn is_established(&self, owner: Address) -> bool {
        owner[0].is_multiple_of(2)
    }
}

#[tokio::test]
async fn contacts_are_established_owners_and_blocked_ones_are_kept_out() {
    let node = World::new().node(1).await;
    for (n, trust) in [(1, Trust::Accept), (3, Trust::Ask), (4, Trust::Block)] {
        let kept = Contact {
            trust,
            ..contact(&format!("c{n}"), n)
        };
        node.catalog.put_contact(&kept).await.unwrap();
    }
    let owners = KnownOwners::new(node.catalog.clone(), Arc::new(EvenOwners));
    for (n, is_established, is_blocked) in [
        (1, true, false),
        (3, true, false),
        (4, false, true),
        (6, true, false),
        (7, false, false),
    ] {
        let owner = Address::repeat_byte(n);
        assert_eq!(owners.is_established(owner).await, is_established, "{n}");
        assert_eq!(owners.is_blocked(owner).await, is_blocked, "{n}");
    }
}
