//! The inbox: what is shared with a node stands in it, and who gets in.

use std::sync::Arc;

use async_trait::async_trait;
use dm_core::{
    Address,
    config::{Accept, Acknowledge},
    descriptor::{Description, LabelPairs, Labels},
    envelope::ObjectId,
    hash::DataHash,
    inbox::{Arrival, ItemState},
    ports::{Acquaintance, InboxCatalog, Standing},
    share::ShareTerms,
};
use dm_services::{
    ServiceError,
    inbox::{Arrivals, Inbox, InboxEntry, InboxFilter, InboxPorts, InboxSettings},
};
use tokio_util::sync::CancellationToken;

use crate::support::{TestNode, World, data, deliveries_of, eventually, settings, terms};

fn named(recipient: Address, name: &str, labels: &[(&str, &str)]) -> ShareTerms {
    ShareTerms {
        description: Some(Box::new(Description {
            name: Some(name.parse().unwrap()),
            labels: Labels::try_from(labels.iter().copied().collect::<LabelPairs>()).unwrap(),
            ..Description::default()
        })),
        ..terms(recipient)
    }
}

/// Knows two accounts.
struct Known {
    contact: Address,
    blocked: Address,
}

#[async_trait]
impl Acquaintance for Known {
    async fn standing_of(&self, account: Address) -> Standing {
        if account == self.contact {
            Standing::Contact
        } else if account == self.blocked {
            Standing::Blocked
        } else {
            Standing::Stranger
        }
    }
}

pub(crate) fn inbox_of(
    node: &TestNode,
    accept: Accept,
    acquaintance: Option<Arc<dyn Acquaintance>>,
) -> Inbox {
    let ports = InboxPorts {
        objects: node.ports.objects.clone(),
        catalog: node.ports.catalog.clone(),
        network: node.ports.network.clone(),
        grants: node.ports.grants.clone(),
        sealer: node.ports.sealer.clone(),
        signer: node.ports.signer.clone(),
        log: node.ports.log.clone(),
        acquaintance,
        arrivals: Arrivals::new(node.ports.catalog.clone()),
        deliveries: deliveries_of(node, Acknowledge::OnRequest),
        plugins: None,
        fetches: None,
        data: node.data.clone(),
    };
    let settings = InboxSettings {
        accept,
        retry_interval: settings().retry_interval,
    };
    let inbox = Inbox::new(ports, settings).unwrap();
    let running = inbox.clone();
    tokio::spawn(async move { running.run(CancellationToken::new()).await });
    inbox
}

fn object(owner: &TestNode, hash: &DataHash) -> ObjectId {
    ObjectId {
        locator: hash.locator(),
        owner: owner.address(),
    }
}

async fn have_come(node: &TestNode, objects: &[ObjectId]) {
    let arrivals: Vec<Arrival> = objects.iter().copied().map(arrival).collect();
    node.catalog.note_arrivals(&arrivals).await.unwrap();
}

pub(crate) fn arrival(object: ObjectId) -> Arrival {
    Arrival { object, sequence: 1 }
}

/// The items, once everything that has come was looked at.
async fn items(node: &TestNode, inbox: &Inbox, filter: &InboxFilter) -> Vec<InboxEntry> {
    eventually("what has come is looked at", async || {
        let waiting = node.catalog.arrivals(None, 1).await.unwrap();
        waiting.is_empty().then_some(())
    })
    .await;
    inbox.page(filter, None, 100).await.unwrap().entries
}

fn names(entries: &[InboxEntry]) -> Vec<&str> {
    let names = entries
        .iter()
        .map(|entry| entry.descriptor.description.name.as_ref());
    names.map(|name| name.map_or("", |name| name.as_str())).collect()
}

#[tokio::test]
async fn what_is_shared_with_a_node_stands_in_its_inbox_under_its_name() {
    let world = World::new();
    let (owner, reader) = (world.node(1).await, world.node(2).await);
    let inbox = inbox_of(&reader, Accept::Anyone, None);
    let terms = named(reader.address(), "report.pdf", &[("stage", "final")]);
    let hash = owner.data.share_bytes(data(700), terms).await.unwrap().data_hash;
    have_come(&reader, &[object(&owner, &hash)]).await;
    let listed = items(&reader, &inbox, &InboxFilter::default()).await;
    let [InboxEntry { item, descriptor, .. }] = &listed[..] else {
        panic!("{listed:?}");
    };
    assert_eq!(
        (item.data_hash, item.owner, item.size),
        (hash, owner.address(), 700)
    );
    assert_eq!(item.state, ItemState::New);
    assert_eq!(descriptor.data_hash, hash);
    assert_eq!(names(&listed), ["report.pdf"]);

    reader.read(&hash).await.unwrap();
    let entry = inbox.entries_of(&hash).await.unwrap().remove(0);
    assert_eq!(entry.item.state, ItemState::Fetched);
}

#[tokio::test]
async fn an_item_comes_from_peers_where_the_object_is_not_stored_here() {
    let world = World::new();
    let (owner, reader) = (world.node(1).await, world.node(2).await);
    let inbox = inbox_of(&reader, Accept::Anyone, None);
    let terms = named(reader.address(), "far.txt", &[]);
    let hash = owner.data.share_bytes(data(10), terms).await.unwrap().data_hash;
    let id = object(&owner, &hash);
    dm_core::ports::ObjectStore::remove(&*reader.objects, &id)
        .await
        .unwrap();
    have_come(&reader, &[id]).await;
    assert_eq!(
        names(&items(&reader, &inbox, &InboxFilter::default()).await),
        ["far.txt"]
    );
}

#[tokio::test]
async fn strangers_get_in_once_their_share_is_anchored_and_who_is_blocked_does_not() {
    let world = World::new();
    let (stranger, contact, blocked) = (world.node(1).await, world.node(2).await, world.node(3).await);
    let (reader, strict_reader) = (world.node(4).await, world.node(5).await);
    let known = Arc::new(Known {
        contact: contact.address(),
        blocked: blocked.address(),
    });
    let inbox = inbox_of(&reader, Accept::Anchored, Some(known.clone()));
    let strict = inbox_of(&strict_reader, Accept::Contacts, Some(known));
    let mut ids = Vec::new();
    for (number, node) in [&stranger, &contact, &blocked].into_iter().enumerate() {
        for recipient in [&reader, &strict_reader] {
            let terms = named(recipient.address(), &format!("{number}.txt"), &[]);
            let shared = node.data.share_bytes(data(50 + number), terms).await.unwrap();
            ids.push(object(node, &shared.data_hash));
        }
    }
    have_come(&reader, &ids).await;
    let listed = items(&reader, &inbox, &InboxFilter::default()).await;
    assert_eq!(names(&listed), ["1.txt"]);
    assert!(!listed[0].item.anchored, "a contact is listed at once");

    for node in [&stranger, &contact, &blocked] {
        node.spread();
    }
    eventually("the anchored shares are listed", async || {
        have_come(&reader, &ids).await;
        let listed = items(&reader, &inbox, &InboxFilter::default()).await;
        let all_anchored = listed.iter().all(|entry| entry.item.anchored);
        (names(&listed) == ["0.txt", "1.txt"] && all_anchored).then_some(())
    })
    .await;
    have_come(&strict_reader, &ids).await;
    let listed = items(&strict_reader, &strict, &InboxFilter::default()).await;
    assert_eq!(names(&listed), ["1.txt"], "strangers are no contacts");
}

#[tokio::test]
async fn items_are_found_by_sender_name_label_and_state() {
    let world = World::new();
    let (first, second, reader) = (world.node(1).await, world.node(2).await, world.node(3).await);
    let inbox = inbox_of(&reader, Accept::Anyone, None);
    let mut hashes = Vec::new();
    for (number, (owner, name, stage)) in [
        (&first, "a.txt", "draft"),
        (&first, "b.txt", "final"),
        (&second, "a.txt", "final"),
    ]
    .into_iter()
    .enumerate()
    {
        let terms = named(reader.address(), name, &[("stage", stage), ("year", "2026")]);
        let shared = owner.data.share_bytes(data(20 + number), terms).await.unwrap();
        have_come(&reader, &[object(owner, &shared.data_hash)]).await;
        items(&reader, &inbox, &InboxFilter::default()).await;
        hashes.push(shared.data_hash);
    }
    reader.read(&hashes[1]).await.unwrap();
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let all = InboxFilter::default;
    for (filter, expected) in [
        (all(), &["a.txt", "b.txt", "a.txt"][..]),
        (
            InboxFilter {
                from: Some(first.address()),
                ..all()
            },
            &["b.txt", "a.txt"],
        ),
        (
            InboxFilter {
                name: Some("a.txt".to_owned()),
                ..all()
            },
            &["a.txt", "a.txt"],
        ),
        (
            InboxFilter {
                name: Some("A.txt".to_owned()),
                ..all()
            },
            &[],
        ),
        (
            InboxFilter {
                labels: vec![label("stage", "final")],
                ..all()
            },
            &["a.txt", "b.txt"],
        ),
        (
            InboxFilter {
                labels: vec![label("stage", "final"), label("year", "2026")],
                from: Some(first.address()),
                ..all()
            },
            &["b.txt"],
        ),
        (
            InboxFilter {
                labels: vec![label("year", "final")],
                ..all()
            },
            &[],
        ),
        (
            InboxFilter {
                states: vec![ItemState::Fetched],
                ..all()
            },
            &["b.txt"],
        ),
        (
            InboxFilter {
                states: vec![ItemState::New, ItemState::Revoked],
                ..all()
            },
            &["a.txt", "a.txt"],
        ),
        (
            InboxFilter {
                since: Some(u64::MAX >> 1),
                ..all()
            },
            &[],
        ),
    ] {
        assert_eq!(
            names(&items(&reader, &inbox, &filter).await),
            expected,
            "{filter:?}"
        );
    }
    let page = inbox.page(&all(), None, 2).await.unwrap();
    assert_eq!(page.entries.len(), 2);
    let next = inbox.page(&all(), page.next, 2).await.unwrap();
    assert_eq!((next.entries.len(), next.next), (1, None));
}

#[tokio::test]
async fn what_was_revoked_or_erased_shows_so() {
    let world = World::new();
    let (owner, reader) = (world.node(1).await, world.node(2).await);
    owner.spread();
    let inbox = inbox_of(&reader, Accept::Anyone, None);
    let mut ids = Vec::new();
    for number in 0..2 {
        let terms = named(reader.address(), &format!("{number}.txt"), &[]);
        let shared = owner.data.share_bytes(data(30 + number), terms).await.unwrap();
        ids.push((shared.data_hash, object(&owner, &shared.data_hash)));
    }
    let objects: Vec<ObjectId> = ids.iter().map(|(_, id)| *id).collect();
    have_come(&reader, &objects).await;
    assert_eq!(items(&reader, &inbox, &InboxFilter::default()).await.len(), 2);
    owner.data.revoke(&ids[0].0, reader.address()).await.unwrap();
    owner.data.erase(&ids[1].0).await.unwrap();
    eventually("both show so", async || {
        have_come(&reader, &objects).await;
        let listed = items(&reader, &inbox, &InboxFilter::default()).await;
        let states: Vec<ItemState> = listed.iter().map(|entry| entry.item.state).collect();
        (states == [ItemState::Erased, ItemState::Revoked]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_was_removed_stays_away_and_its_copy_is_erased() {
    let world = World::new();
    let (owner, reader) = (world.node(1).await, world.node(2).await);
    let inbox = inbox_of(&reader, Accept::Anyone, None);
    let terms = named(reader.address(), "gone.txt", &[]);
    let hash = owner.data.share_bytes(data(30), terms).await.unwrap().data_hash;
    let id = object(&owner, &hash);
    have_come(&reader, &[id]).await;
    assert_eq!(items(&reader, &inbox, &InboxFilter::default()).await.len(), 1);
    reader.read(&hash).await.unwrap();
    inbox.remove(&hash).await.unwrap();
    assert!(matches!(inbox.remove(&hash).await, Err(ServiceError::NotFound)));
    assert!(
        dm_core::ports::ReadableObjects::readable(&*reader.catalog, &hash)
            .await
            .unwrap()
            .is_none()
    );
    have_come(&reader, &[id]).await;
    assert!(items(&reader, &inbox, &InboxFilter::default()).await.is_empty());
}

#[tokio::test]
async fn the_catalog_has_no_name_and_no_label_of_an_item() {
    let world = World::new();
    let (owner, reader) = (world.node(1).await, world.node(2).await);
    let inbox = inbox_of(&reader, Accept::Anyone, None);
    let terms = named(
        reader.address(),
        "zebrastreifen.txt",
        &[("stage", "zebrastreifen")],
    );
    let hash = owner.data.share_bytes(data(30), terms).await.unwrap().data_hash;
    let id = object(&owner, &hash);
    have_come(&reader, &[id]).await;
    items(&reader, &inbox, &InboxFilter::default()).await;
    let kept = reader.catalog.inbox_item(&id).await.unwrap().unwrap();
    let word = b"zebrastreifen";
    assert!(!kept.descriptor.windows(word.len()).any(|window| window == word));
}

#[tokio::test]
async fn an_object_that_is_found_in_an_earlier_version_than_was_said_is_looked_for_again() {
    let world = World::new();
    let (owner, reader) = (world.node(1).await, world.node(2).await);
    let inbox = inbox_of(&reader, Accept::Anyone, None);
    let mut said = Vec::new();
    for (n, name) in [(1, "first"), (2, "second")] {
        let shared = owner
            .data
            .share_bytes(data(n), named(reader.address(), name, &[]))
            .await
            .unwrap();
        let object = object(&owner, &shared.data_hash);
        // The first one is said to have an envelope that nobody has yet.
        let sequence = if n == 1 { u64::MAX >> 1 } else { 1 };
        said.push(Arrival { object, sequence });
    }
    // One after the other, so that the first was looked at before the second one comes.
    for (count, arrival) in (1..).zip(&said) {
        reader
            .catalog
            .note_arrivals(std::slice::from_ref(arrival))
            .await
            .unwrap();
        eventually("it is listed all the same", async || {
            let page = inbox.page(&InboxFilter::default(), None, 10).await.unwrap();
            (page.entries.len() == count).then_some(())
        })
        .await;
    }
    eventually("the first one is still to be looked for", async || {
        let waiting = reader.catalog.arrivals(None, 10).await.unwrap();
        (waiting == said[..1]).then_some(())
    })
    .await;
}
