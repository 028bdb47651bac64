//! Recipients acknowledge what they have read, and owners can prove that it arrived.

use dm_core::{
    Address,
    acknowledgement::{Acknowledgement, Delivery, SignedAcknowledgement},
    clock::now_ms,
    config::{Accept, Acknowledge},
    envelope::ObjectId,
    event::EventKind,
    hash::DataHash,
    inbox::ItemState,
    ports::{ComplianceLog, DeliveryCatalog, EventFilter, HistoryQuery, InboxCatalog, ObjectStore, Signer},
    receipt::Verification,
    signed::Signed,
};
use dm_services::{DataManager, DataPorts, Deliveries, ServiceError};
use dm_testing::signer::TestSigner;

use crate::{
    inboxes::{arrival, inbox_of},
    support::{TestNode, World, data, deliveries_of, eventually, settings, terms},
};

/// An owner that has shared something with a reader.
pub(crate) struct Shared {
    pub(crate) owner: TestNode,
    /// What the owner is told.
    pub(crate) told: Deliveries,
    pub(crate) reader: TestNode,
    /// Somebody else.
    pub(crate) further: TestNode,
    pub(crate) hash: DataHash,
    /// Of the first envelope.
    sequence: u64,
}

impl Shared {
    pub(crate) async fn new() -> Self {
        let world = World::new();
        let (owner, reader) = (world.node(1).await, world.node(2).await);
        let shared = owner.data.share_bytes(data(700), terms(reader.address())).await;
        let hash = shared.unwrap().data_hash;
        Self {
            told: deliveries_of(&owner, Acknowledge::OnFetch),
            sequence: newest(&owner, &hash).await,
            further: world.node(3).await,
            owner,
            reader,
            hash,
        }
    }

    pub(crate) fn object(&self) -> ObjectId {
        ObjectId {
            locator: self.hash.locator(),
            owner: self.owner.address(),
        }
    }

    /// What account `n` would say of the data.
    pub(crate) fn statement(&self, n: u8) -> Acknowledgement {
        let recipient = TestSigner::new(n).address();
        let now = now_ms();
        Acknowledgement {
            recipient,
            object: self.object(),
            commitment: Acknowledgement::commitment_to(&self.hash, recipient),
            sequence: self.sequence,
            fetched_at: now,
            made_at: now,
        }
    }

    /// What the owner knows of its recipient, once that is recorded.
    pub(crate) async fn delivered(&self) -> Delivery {
        recorded(&self.owner, &self.object(), self.reader.address()).await
    }
}

/// Sequence number of the envelope that the owner has.
pub(crate) async fn newest(owner: &TestNode, hash: &DataHash) -> u64 {
    let object = ObjectId {
        locator: hash.locator(),
        owner: owner.address(),
    };
    let envelope = owner.objects.envelope(&object).await.unwrap();
    envelope.unwrap().sequence
}

pub(crate) fn signed(statement: Acknowledgement, n: u8) -> SignedAcknowledgement {
    Signed::sign(statement, &TestSigner::new(n)).unwrap()
}

pub(crate) async fn recorded(node: &TestNode, object: &ObjectId, recipient: Address) -> Delivery {
    eventually("the delivery is recorded", async || {
        let kept = node.catalog.delivery(object, recipient).await.unwrap();
        kept.filter(|kept| kept.leaf_index.is_some())
    })
    .await
}

/// The node reads the data and acknowledges it when it is to.
pub(crate) async fn read(node: &TestNode, hash: &DataHash, deliveries: &Deliveries) {
    let ports = DataPorts {
        deliveries: Some(deliveries.clone()),
        ..node.ports.clone()
    };
    let data = DataManager::new(&ports, settings()).unwrap();
    let object = data.open(hash).await.unwrap();
    let size = object.size();
    let pieces = object.read(0..size);
    futures::TryStreamExt::try_collect::<Vec<_>>(pieces)
        .await
        .unwrap();
}

/// Events of a kind in the log of a node.
pub(crate) async fn events(node: &TestNode, kind: EventKind) -> usize {
    let query = HistoryQuery {
        filter: EventFilter {
            kinds: [kind].into(),
            ..EventFilter::default()
        },
        before: None,
        limit: 99,
    };
    node.log.history(&query).await.unwrap().entries.len()
}

#[tokio::test]
async fn what_was_fetched_is_acknowledged_once_and_both_logs_prove_it() {
    let shared = Shared::new().await;
    let reader = shared.reader.address();
    let deliveries = deliveries_of(&shared.reader, Acknowledge::OnFetch);
    for _ in 0..2 {
        read(&shared.reader, &shared.hash, &deliveries).await;
    }
    let own = recorded(&shared.reader, &shared.object(), reader).await;
    for _ in 0..3 {
        assert!(shared.told.arrived(own.statement.clone()).await.unwrap());
        let delivery = shared.delivered().await;
        assert_eq!(delivery.statement, own.statement);
    }
    for (node, kind) in [
        (&shared.owner, EventKind::Delivery),
        (&shared.reader, EventKind::Acknowledgement),
    ] {
        assert_eq!(events(node, kind).await, 1);
        let manager = &node.data;
        let receipt = manager.evidence(kind, &shared.hash, Some(reader)).await.unwrap();
        assert_eq!(receipt.event.evidence(), Ok(Some(own.statement.clone())));
        assert_eq!(node.log.verify(&receipt).await.unwrap(), Verification::Valid);
    }
    let none = shared
        .owner
        .data
        .evidence(EventKind::Acknowledgement, &shared.hash, None);
    assert!(matches!(none.await, Err(ServiceError::NotFound)));
}

#[tokio::test]
async fn what_is_false_changes_nothing_and_its_sender_does_not_learn_so() {
    let shared = Shared::new().await;
    let honest = shared.statement(2);
    let other = DataHash::of(b"something else");
    let elsewhere = ObjectId {
        locator: other.locator(),
        ..shared.object()
    };
    let false_ones = [
        // By a stranger, who has somehow learned the data hash.
        signed(shared.statement(9), 9),
        // About other data, whatever the locator says.
        signed(
            Acknowledgement {
                commitment: Acknowledgement::commitment_to(&other, honest.recipient),
                ..honest.clone()
            },
            2,
        ),
        // With what another recipient has sent.
        signed(
            Acknowledgement {
                commitment: shared.statement(3).commitment,
                ..honest.clone()
            },
            2,
        ),
        // For the object of another owner.
        signed(
            Acknowledgement {
                object: ObjectId {
                    owner: Address::repeat_byte(7),
                    ..shared.object()
                },
                ..honest.clone()
            },
            2,
        ),
        // About data that was never shared.
        signed(
            Acknowledgement {
                object: elsewhere,
                commitment: Acknowledgement::commitment_to(&other, honest.recipient),
                ..honest.clone()
            },
            2,
        ),
        // From the future, and from long ago.
        signed(
            Acknowledgement {
                made_at: now_ms() + 3_600_000,
                ..honest.clone()
            },
            2,
        ),
        signed(
            Acknowledgement {
                fetched_at: 1,
                made_at: 2,
                ..honest.clone()
            },
            2,
        ),
    ];
    for statement in false_ones {
        assert!(
            shared.told.arrived(statement.clone()).await.unwrap(),
            "{statement:?}"
        );
    }
    let ahead = Acknowledgement {
        sequence: now_ms() + 3_600_000,
        ..honest
    };
    assert!(
        !shared.told.arrived(signed(ahead, 2)).await.unwrap(),
        "the owner may have lost its newest envelope"
    );
    assert_eq!(
        shared.owner.catalog.deliveries(&shared.object()).await.unwrap(),
        []
    );
    assert_eq!(shared.owner.catalog.deliveries(&elsewhere).await.unwrap(), []);
    assert_eq!(events(&shared.owner, EventKind::Delivery).await, 0);
}

#[tokio::test]
async fn an_acknowledgement_of_a_version_that_was_replaced_counts() {
    let shared = Shared::new().await;
    let further = terms(shared.further.address());
    shared.owner.data.grant(&shared.hash, further).await.unwrap();
    let statement = signed(shared.statement(2), 2);
    assert!(newest(&shared.owner, &shared.hash).await > statement.sequence);
    assert!(shared.told.arrived(statement.clone()).await.unwrap());
    assert_eq!(shared.delivered().await.statement, statement);
}

#[tokio::test]
async fn an_acknowledgement_counts_after_a_revocation_and_not_after_an_erasure() {
    for is_erased in [false, true] {
        let shared = Shared::new().await;
        let manager = &shared.owner.data;
        match is_erased {
            true => drop(manager.erase(&shared.hash).await.unwrap()),
            false => drop(
                manager
                    .revoke(&shared.hash, shared.reader.address())
                    .await
                    .unwrap(),
            ),
        }
        let statement = signed(shared.statement(2), 2);
        assert!(shared.told.arrived(statement).await.unwrap());
        let kept = shared.owner.catalog.deliveries(&shared.object()).await.unwrap();
        assert_eq!(kept.is_empty(), is_erased);
    }
}

#[tokio::test]
async fn what_was_interrupted_is_recorded_once_after_a_restart() {
    let shared = Shared::new().await;
    for node in [&shared.owner, &shared.reader] {
        node.log.set_overloaded(true);
    }
    let deliveries = deliveries_of(&shared.reader, Acknowledge::OnFetch);
    read(&shared.reader, &shared.hash, &deliveries).await;
    let reader = shared.reader.address();
    let kept = shared
        .reader
        .catalog
        .delivery(&shared.object(), reader)
        .await
        .unwrap();
    let statement = kept.unwrap().statement;
    assert!(shared.told.arrived(statement.clone()).await.unwrap());
    for node in [&shared.owner, &shared.reader] {
        node.log.set_overloaded(false);
        // Beside the ones that were there.
        deliveries_of(node, Acknowledge::Never);
        let delivery = recorded(node, &shared.object(), reader).await;
        assert_eq!(delivery.statement, statement);
    }
    assert_eq!(events(&shared.owner, EventKind::Delivery).await, 1);
    assert_eq!(events(&shared.reader, EventKind::Acknowledgement).await, 1);
}

#[tokio::test]
async fn an_item_is_acknowledged_on_request_once_it_was_fetched() {
    let shared = Shared::new().await;
    let inbox = inbox_of(&shared.reader, Accept::Anyone, None);
    let unlisted = inbox.acknowledge(&shared.hash).await;
    assert!(matches!(unlisted, Err(ServiceError::NotFound)), "{unlisted:?}");
    let reader = &shared.reader;
    reader
        .catalog
        .note_arrivals(&[arrival(shared.object())])
        .await
        .unwrap();
    let state = async || {
        let item = reader.catalog.inbox_item(&shared.object()).await.unwrap();
        item.map(|item| item.state)
    };
    eventually("the item is listed", &state).await;
    let early = inbox.acknowledge(&shared.hash).await;
    assert!(matches!(early, Err(ServiceError::NotFetched)), "{early:?}");
    reader.read(&shared.hash).await.unwrap();
    assert_eq!(state().await, Some(ItemState::Fetched));
    let fetched_at = reader.catalog.inbox_item(&shared.object()).await.unwrap();
    let fetched_at = fetched_at.unwrap().fetched_at.unwrap();
    let first = inbox.acknowledge(&shared.hash).await.unwrap();
    assert_eq!(first.statement.fetched_at, fetched_at);
    assert_eq!(state().await, Some(ItemState::Acknowledged));
    assert_eq!(inbox.acknowledge(&shared.hash).await.unwrap(), first);
    assert_eq!(events(reader, EventKind::Acknowledgement).await, 1);
    // Withdrawn later, it stays acknowledged.
    let end = ItemState::Revoked;
    reader
        .catalog
        .advance_item(&shared.object(), end, now_ms())
        .await
        .unwrap();
    assert_eq!(inbox.acknowledge(&shared.hash).await.unwrap(), first);
}

#[tokio::test]
async fn what_can_be_read_no_more_is_not_acknowledged_any_more() {
    let shared = Shared::new().await;
    let reader = &shared.reader;
    let inbox = inbox_of(reader, Accept::Anyone, None);
    reader
        .catalog
        .note_arrivals(&[arrival(shared.object())])
        .await
        .unwrap();
    eventually("the item is listed", async || {
        reader.catalog.inbox_item(&shared.object()).await.unwrap()
    })
    .await;
    reader.read(&shared.hash).await.unwrap();
    let end = ItemState::Revoked;
    reader
        .catalog
        .advance_item(&shared.object(), end, now_ms())
        .await
        .unwrap();
    let late = inbox.acknowledge(&shared.hash).await;
    assert!(
        matches!(late, Err(ServiceError::ItemOver(ItemState::Revoked))),
        "{late:?}"
    );
}

#[tokio::test]
async fn data_that_was_acknowledged_before_it_is_listed_is_listed_so() {
    let shared = Shared::new().await;
    let reader = &shared.reader;
    let deliveries = deliveries_of(reader, Acknowledge::OnFetch);
    read(reader, &shared.hash, &deliveries).await;
    recorded(reader, &shared.object(), reader.address()).await;
    let _inbox = inbox_of(reader, Accept::Anyone, None);
    reader
        .catalog
        .note_arrivals(&[arrival(shared.object())])
        .await
        .unwrap();
    let item = eventually("the item is listed", async || {
        reader.catalog.inbox_item(&shared.object()).await.unwrap()
    })
    .await;
    assert_eq!(item.state, ItemState::Acknowledged);
}
