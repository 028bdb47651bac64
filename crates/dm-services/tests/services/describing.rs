//! Descriptors: what an owner says of its data, and who learns it.

use dm_core::{
    descriptor::{Description, Descriptor, LabelPairs, Labels},
    envelope::{Envelope, MAX_ATTACHMENTS, ObjectId, SignedEnvelope},
    hash::DataHash,
    ports::{ObjectStore, ReadableObjects, ShareCatalog, Signer},
    secret::ContentKey,
    share::ShareTerms,
    signed::Signed,
};
use dm_services::ServiceError;
use dm_testing::{
    faults::{Fault, Faults},
    signer::TestSigner,
};

use crate::support::{TestNode, World, data, eventually, keyed, terms};

const NAME: &str = "report-2026-11.pdf";

fn description(name: &str) -> Box<Description> {
    let labels = [("project", "Zebrastreifen"), ("stage", "final")];
    Box::new(Description {
        name: Some(name.parse().unwrap()),
        media_type: Some("application/pdf".parse().unwrap()),
        labels: Labels::try_from(labels.into_iter().collect::<LabelPairs>()).unwrap(),
        correlation_id: Some("order-4711".parse().unwrap()),
        supersedes: Some(DataHash::of(b"the report before")),
    })
}

fn described(terms: ShareTerms, name: &str) -> ShareTerms {
    ShareTerms {
        description: Some(description(name)),
        ..terms
    }
}

fn id(owner: &TestNode, hash: &DataHash) -> ObjectId {
    ObjectId {
        locator: hash.locator(),
        owner: owner.address(),
    }
}

async fn envelope(node: &TestNode, id: &ObjectId) -> SignedEnvelope {
    node.objects.envelope(id).await.unwrap().unwrap()
}

/// What a node is told of data that it can read.
async fn told(node: &TestNode, hash: &DataHash) -> Option<Descriptor> {
    node.data.open(hash).await.unwrap().descriptor()
}

async fn name_told(node: &TestNode, hash: &DataHash) -> Option<String> {
    let descriptor = told(node, hash).await?;
    descriptor.description.name.map(|name| name.to_string())
}

/// Whether these bytes have any word of the description in them.
fn tells(bytes: &[u8]) -> bool {
    [NAME, "Zebrastreifen", "application/pdf", "order-4711"]
        .iter()
        .any(|word| bytes.windows(word.len()).any(|window| window == word.as_bytes()))
}

#[tokio::test]
async fn readers_see_the_descriptor_and_a_replica_does_not() {
    let world = World::new();
    let (owner, reader, replica) = (world.node(1).await, world.node(2).await, world.node(3).await);
    let terms = described(terms(reader.address()), NAME);
    let hash = owner.data.share_bytes(data(5000), terms).await.unwrap().data_hash;
    let expected = Descriptor::new(hash, *description(NAME));
    for node in [&owner, &reader] {
        assert_eq!(told(node, &hash).await.as_ref(), Some(&expected));
        node.read(&hash).await.unwrap();
        assert_eq!(
            told(node, &hash).await.as_ref(),
            Some(&expected),
            "also of the own copy"
        );
    }
    let copy = envelope(&replica, &id(&owner, &hash)).await;
    assert!(
        !tells(copy.bytes()),
        "what crosses the network and lies on foreign disks"
    );
    assert!(matches!(
        replica.data.open(&hash).await,
        Err(ServiceError::NotGranted)
    ));
}

#[tokio::test]
async fn every_share_tells_its_reader_the_data_hash() {
    let world = World::new();
    let (owner, reader) = (world.node(1).await, world.node(2).await);
    let hash = owner
        .data
        .share_bytes(data(10), terms(reader.address()))
        .await
        .unwrap()
        .data_hash;
    let said_nothing = Descriptor::new(hash, Description::default());
    assert_eq!(told(&reader, &hash).await, Some(said_nothing));
}

#[tokio::test]
async fn the_length_of_a_name_does_not_show() {
    let world = World::new();
    let owner = world.node(1).await;
    let mut lengths = Vec::new();
    for (number, name) in ["a", "a-name-that-is-much-longer.tar.gz"].into_iter().enumerate() {
        let terms = described(terms(owner.address()), name);
        let shared = owner.data.share_bytes(data(10 + number), terms).await.unwrap();
        let envelope = envelope(&owner, &id(&owner, &shared.data_hash)).await;
        lengths.push(envelope.attachments[0].len());
    }
    assert_eq!(lengths[0], lengths[1]);
}

#[tokio::test]
async fn the_newest_description_counts_for_all_readers_and_silence_keeps_it() {
    let world = World::new();
    let (owner, first, second) = (world.node(1).await, world.node(2).await, world.node(3).await);
    owner.spread();
    let share = async |terms| owner.data.share_bytes(data(100), terms).await.unwrap().data_hash;
    let hash = share(described(terms(first.address()), "first.txt")).await;
    first.read(&hash).await.unwrap();

    share(terms(first.address())).await;
    share(terms(second.address())).await;
    assert_eq!(name_told(&owner, &hash).await.as_deref(), Some("first.txt"));
    assert_eq!(name_told(&second, &hash).await.as_deref(), Some("first.txt"));

    share(described(terms(second.address()), "second.txt")).await;
    for reader in [&owner, &first, &second] {
        eventually("the newer name is there", async || {
            (name_told(reader, &hash).await.as_deref() == Some("second.txt")).then_some(())
        })
        .await;
    }
    assert_eq!(owner.events().await, 2, "that is no further share");
    let before = envelope(&owner, &id(&owner, &hash)).await.attachments.clone();
    share(described(terms(second.address()), "second.txt")).await;
    let after = envelope(&owner, &id(&owner, &hash)).await.attachments.clone();
    assert!(
        after.contains(before.first().unwrap()),
        "the same description again changes nothing"
    );

    let third = world.node(4).await;
    share(described(terms(third.address()), "third.txt")).await;
    for reader in [&first, &second, &third] {
        eventually("the newest name is there", async || {
            (name_told(reader, &hash).await.as_deref() == Some("third.txt")).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_share_that_fails_leaves_the_description_as_it_was() {
    let world = World::new();
    let owner = world.node(1).await;
    let (first, second) = (world.node(2).await, world.node(3).await);
    let terms_of_first = described(terms(first.address()), "before.txt");
    let shared = owner.data.share_bytes(data(50), terms_of_first).await.unwrap();
    owner
        .data
        .share_bytes(data(51), keyed(first.address(), "k"))
        .await
        .unwrap();
    let reused = described(keyed(second.address(), "k"), "after.txt");
    let refused = owner.data.share_bytes(data(50), reused).await;
    assert!(matches!(refused, Err(ServiceError::IdempotencyKeyReused)));
    assert_eq!(
        name_told(&owner, &shared.data_hash).await.as_deref(),
        Some("before.txt")
    );
}

#[tokio::test]
async fn whichever_write_fails_the_description_is_that_of_the_shares_that_were_made() {
    let mut failed = 0;
    for writes in 0..8 {
        let world = World::new();
        let faults = Faults::new();
        let owner = world.node_with(1, &faults).await;
        let (first, second) = (world.node(2).await, world.node(3).await);
        let before = described(terms(first.address()), "before.txt");
        let hash = owner.data.share_bytes(data(50), before).await.unwrap().data_hash;
        faults.after(writes, Fault::Refused);
        let after = described(terms(second.address()), "after.txt");
        let made = owner.data.share_bytes(data(50), after).await;
        failed += u32::from(made.is_err());
        let expected = if made.is_ok() { "after.txt" } else { "before.txt" };
        assert_eq!(
            name_told(&owner, &hash).await.as_deref(),
            Some(expected),
            "{writes}: {made:?}"
        );
    }
    assert!(failed > 1, "the commit and the envelope before it can fail");
}

#[tokio::test]
async fn an_idempotency_key_stands_for_one_description() {
    let world = World::new();
    let owner = world.node(1).await;
    let share = async |terms| owner.data.share_bytes(data(10), terms).await;
    let key = || keyed(owner.address(), "k");
    let first = share(described(key(), "a.txt")).await.unwrap();
    assert_eq!(share(described(key(), "a.txt")).await.unwrap(), first);
    for other in [key(), described(key(), "b.txt")] {
        assert!(matches!(
            share(other).await,
            Err(ServiceError::IdempotencyKeyReused)
        ));
    }
    assert_eq!(
        name_told(&owner, &first.data_hash).await.as_deref(),
        Some("a.txt")
    );
}

#[tokio::test]
async fn a_description_that_is_too_long_in_all_shares_nothing() {
    let world = World::new();
    let owner = world.node(1).await;
    let pairs = (0..32).map(|n| (format!("key{n}"), "v".repeat(256)));
    let terms = ShareTerms {
        description: Some(Box::new(Description {
            labels: Labels::try_from(pairs.collect::<LabelPairs>()).unwrap(),
            ..Description::default()
        })),
        ..terms(owner.address())
    };
    let refused = owner.data.share_bytes(data(10), terms).await;
    assert!(matches!(
        refused,
        Err(ServiceError::Invalid {
            field: "descriptor",
            ..
        })
    ));
    assert_eq!(owner.events().await, 0);
}

#[tokio::test]
async fn a_descriptor_outlives_any_number_of_receipts() {
    let world = World::new();
    let (owner, _replica) = (world.node(1).await, world.node(2).await);
    owner.spread();
    let hash = DataHash::of(&data(10));
    for n in 0..MAX_ATTACHMENTS + 4 {
        let recipient = TestSigner::new(n as u8 + 10).address();
        let terms = described(terms(recipient), NAME);
        owner.data.share_bytes(data(10), terms).await.unwrap();
    }
    eventually("the envelope is full", async || {
        let full = envelope(&owner, &id(&owner, &hash)).await.attachments.len() == MAX_ATTACHMENTS;
        let due = owner.catalog.receipts_to_spread(0..1000, 1).await.unwrap();
        (full && due.is_empty()).then_some(())
    })
    .await;
    assert_eq!(name_told(&owner, &hash).await.as_deref(), Some(NAME));
    let receipts = envelope(&owner, &id(&owner, &hash)).await.attachments.len() - 1;
    assert_eq!(receipts, MAX_ATTACHMENTS - 1);
}

#[tokio::test]
async fn the_readers_that_stay_keep_the_descriptor_and_who_was_revoked_does_not_see_the_next() {
    let world = World::new();
    let (owner, first, second) = (world.node(1).await, world.node(2).await, world.node(3).await);
    owner.spread();
    let hash = DataHash::of(&data(100));
    for recipient in [&first, &second] {
        let terms = described(terms(recipient.address()), NAME);
        owner.data.share_bytes(data(100), terms).await.unwrap();
    }
    owner.data.revoke(&hash, second.address()).await.unwrap();
    for reader in [&owner, &first] {
        eventually("the descriptor is there", async || {
            let name = name_told(reader, &hash).await;
            (name.as_deref() == Some(NAME)).then_some(())
        })
        .await;
    }
    assert!(!tells(envelope(&owner, &id(&owner, &hash)).await.bytes()));
}

/// Lets an object look as an earlier version has stored it.
async fn as_stored_before(owner: &TestNode, id: &ObjectId) {
    let current = envelope(owner, id).await;
    let earlier = Envelope {
        sequence: current.sequence + 1,
        attachments: Vec::new(),
        ..current.statement().clone()
    };
    let signed = Signed::sign(earlier, &TestSigner::new(1)).unwrap();
    owner.objects.replace_envelope(&signed).await.unwrap();
}

#[tokio::test]
async fn an_object_of_an_earlier_version_has_none_until_it_is_shared_further() {
    let world = World::new();
    let (owner, first, second) = (world.node(1).await, world.node(2).await, world.node(3).await);
    let share = async |terms| owner.data.share_bytes(data(100), terms).await.unwrap().data_hash;
    let hash = share(terms(owner.address())).await;
    as_stored_before(&owner, &id(&owner, &hash)).await;
    assert_eq!(told(&owner, &hash).await, None);
    share(terms(owner.address())).await;
    assert_eq!(told(&owner, &hash).await, None, "that is the share of before");
    share(terms(first.address())).await;
    let said_nothing = Descriptor::new(hash, Description::default());
    assert_eq!(told(&first, &hash).await, Some(said_nothing));
    share(described(terms(second.address()), NAME)).await;
    assert_eq!(name_told(&second, &hash).await.as_deref(), Some(NAME));
}

#[tokio::test]
async fn a_descriptor_that_speaks_of_other_data_is_none() {
    let world = World::new();
    let owner = world.node(1).await;
    let shared = owner
        .data
        .share_bytes(data(100), described(terms(owner.address()), NAME))
        .await
        .unwrap();
    let id = id(&owner, &shared.data_hash);
    let readable = owner.catalog.readable(&shared.data_hash).await.unwrap().unwrap();
    let key: ContentKey = owner.ports.key_ring.unwrap(&readable.key).unwrap();
    let lie = Descriptor::new(DataHash::of(b"other"), *description(NAME));
    let sealed = owner.ports.sealer.seal(&key.for_descriptor(), &lie.encode());
    let current = envelope(&owner, &id).await;
    let lying = Envelope {
        sequence: current.sequence + 1,
        attachments: vec![sealed.bytes().clone()],
        ..current.statement().clone()
    };
    let signed = Signed::sign(lying, &TestSigner::new(1)).unwrap();
    owner.objects.replace_envelope(&signed).await.unwrap();
    assert_eq!(told(&owner, &shared.data_hash).await, None);
    assert_eq!(owner.read(&shared.data_hash).await.unwrap(), data(100));
}
