//! What comes from others: plugins have a say, and what is wanted at once is fetched.

mod reader;

use std::sync::Arc;

use dm_core::{
    envelope::ObjectId,
    hash::DataHash,
    inbox::ItemState,
    plugin::{Hook, ReceiveStage},
    ports::{InboxCatalog, Kept, KeptLimits, StorageQuota},
};
use dm_services::ServiceError;

use crate::inboxes::arrival;
use crate::support::{World, data, eventually, settings, terms};

use reader::{Doorkeeper, Setup, shared};

#[tokio::test]
async fn what_a_plugin_refuses_is_not_listed() {
    let world = World::new();
    let (owner, plugin) = (world.node(1).await, Doorkeeper::new(&[Hook::Receive]));
    let reader = Setup::with(&plugin).on(world.node(2).await).await;
    plugin.refuses(Some(ReceiveStage::Listing));
    let object = shared(&owner, &reader, b"content", &[("stage", "final")]).await;
    assert!(reader.items().await.is_empty());
    let asked = plugin.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!((asked[0].owner, asked[0].size), (owner.address(), 7));
    let said = &asked[0].description;
    assert_eq!(said.name.as_ref().unwrap().as_str(), "report.pdf");
    assert_eq!(said.labels.iter().next(), Some(("stage", "final")));

    plugin.refuses(None);
    reader.learns_of(object).await;
    assert_eq!(reader.items().await.len(), 1);
    // What it has allowed is not asked again, unless its sender says something else of it.
    let asked = plugin.asked().len();
    reader.learns_of(object).await;
    assert_eq!(plugin.asked().len(), asked);
}

#[tokio::test]
async fn what_a_sender_says_later_is_refused_as_well() {
    let world = World::new();
    let (owner, plugin) = (world.node(1).await, Doorkeeper::new(&[Hook::Receive]));
    let reader = Setup::with(&plugin).on(world.node(2).await).await;
    shared(&owner, &reader, b"content", &[("stage", "draft")]).await;
    plugin.refuses(Some(ReceiveStage::Listing));
    shared(&owner, &reader, b"content", &[("stage", "final")]).await;
    let items = reader.items().await;
    let said = &items[0].descriptor.description;
    assert_eq!(said.labels.iter().next(), Some(("stage", "draft")));
}

#[tokio::test]
async fn what_a_plugin_refuses_to_fetch_is_listed_and_not_kept() {
    let world = World::new();
    let (owner, plugin) = (world.node(1).await, Doorkeeper::new(&[Hook::Receive]));
    let setup = Setup {
        plugin: Some(plugin.clone()),
        ..Setup::fetching(&["anyone"])
    };
    let reader = setup.on(world.node(2).await).await;
    plugin.refuses(Some(ReceiveStage::Fetch));
    shared(&owner, &reader, b"content", &[]).await;
    let hash = DataHash::of(b"content");
    eventually("the fetch is given up", async || {
        (reader.waiting().await == 0).then_some(())
    })
    .await;
    assert_eq!(reader.items().await[0].item.state, ItemState::New);
    let refused = reader.read(&hash).await.unwrap_err();
    assert_eq!(refused.to_string(), "plugin doorkeeper refuses this: unwanted");
    assert!(!reader.has(&hash).await);

    plugin.refuses(None);
    assert_eq!(reader.read(&hash).await.unwrap(), b"content");
    let asked = plugin.asked().len();
    reader.read(&hash).await.unwrap();
    assert_eq!(plugin.asked().len(), asked, "it was fetched already");
}

#[tokio::test]
async fn a_required_plugin_that_does_not_run_keeps_everything_out() {
    let world = World::new();
    let owner = world.node(1).await;
    let plugin = Arc::new(Doorkeeper {
        fails: true,
        ..Arc::into_inner(Doorkeeper::new(&[Hook::Receive])).unwrap()
    });
    let setup = Setup {
        is_required: true,
        ..Setup::with(&plugin)
    };
    let reader = setup.on(world.node(2).await).await;
    let content = bytes::Bytes::from_static(b"content");
    let outcome = owner
        .data
        .share_bytes(content, terms(reader.node.address()))
        .await
        .unwrap();
    let object = ObjectId {
        locator: outcome.data_hash.locator(),
        owner: owner.address(),
    };
    reader
        .node
        .catalog
        .note_arrivals(&[arrival(object)])
        .await
        .unwrap();
    tokio::time::sleep(3 * settings().retry_interval).await;
    assert!(reader.items().await.is_empty());
    // It is not forgotten either.
    assert_eq!(
        reader.node.catalog.arrivals(None, 9).await.unwrap(),
        [arrival(object)]
    );
    let away = reader.read(&outcome.data_hash).await.unwrap_err();
    assert!(matches!(away, ServiceError::Unavailable(_)), "{away}");
}

#[tokio::test]
async fn the_data_of_others_is_examined_where_the_operator_wants_that() {
    let world = World::new();
    let owner = world.node(1).await;
    for examine_received in [false, true] {
        let setup = Setup {
            examine_received,
            ..Setup::with(&Doorkeeper::new(&[Hook::Content]))
        };
        let reader = setup.on(world.node(2 + u8::from(examine_received)).await).await;
        for (content, is_bad) in [(&b"something bad"[..], true), (b"something good", false)] {
            shared(&owner, &reader, content, &[]).await;
            let hash = DataHash::of(content);
            let read = reader.read(&hash).await;
            let is_refused = is_bad && examine_received;
            assert_eq!(read.is_err(), is_refused, "{read:?}");
            assert_eq!(reader.has(&hash).await, !is_refused);
        }
    }
}

#[tokio::test]
async fn a_forbidden_word_is_found_where_two_chunks_of_received_data_meet() {
    let world = World::new();
    let owner = world.node(1).await;
    let setup = Setup {
        examine_received: true,
        ..Setup::with(&Doorkeeper::new(&[Hook::Content]))
    };
    let reader = setup.on(world.node(2).await).await;
    let chunk = dm_core::envelope::CHUNK_SIZE as usize;
    let mut content = data(2 * chunk).to_vec();
    content[chunk - 1..chunk + 2].copy_from_slice(b"bad");
    shared(&owner, &reader, &content, &[]).await;
    let hash = DataHash::of(&content);
    let refused = reader.read(&hash).await.unwrap_err();
    assert!(matches!(refused, ServiceError::Refused { .. }), "{refused}");
    assert!(!reader.has(&hash).await);
}

#[tokio::test]
async fn what_is_wanted_at_once_is_fetched_by_sender_size_and_label() {
    let world = World::new();
    let (owner, stranger) = (world.node(1).await, world.node(2).await);
    let mut setup = Setup::fetching(&[&owner.address().to_string()]);
    setup.fetch.max_bytes = 100;
    setup.fetch.labels = vec!["kind=report".to_owned(), "kind=letter".to_owned()];
    let reader = setup.on(world.node(3).await).await;
    let report = [("kind", "report")];
    shared(&stranger, &reader, b"by a stranger", &report).await;
    shared(&owner, &reader, &[1; 101], &report).await;
    shared(&owner, &reader, b"without the label", &[("kind", "other")]).await;
    shared(&owner, &reader, &[2; 100], &[("kind", "letter"), ("a", "b")]).await;
    reader.fetches(&DataHash::of(&[2; 100])).await;
    shared(&owner, &reader, b"another report", &report).await;
    reader.fetches(&DataHash::of(b"another report")).await;
    for content in [&b"by a stranger"[..], &[1; 101], b"without the label"] {
        assert!(!reader.has(&DataHash::of(content)).await);
    }
    assert_eq!(reader.waiting().await, 0);
}

#[tokio::test]
async fn nothing_is_fetched_by_itself_unless_the_operator_says_so() {
    let world = World::new();
    let owner = world.node(1).await;
    let reader = Setup::default().on(world.node(2).await).await;
    shared(&owner, &reader, b"content", &[]).await;
    assert_eq!(reader.items().await[0].item.state, ItemState::New);
    assert_eq!(reader.waiting().await, 0);
}

#[tokio::test]
async fn what_is_still_to_be_fetched_outlives_a_restart() {
    let world = World::new();
    let owner = world.node(1).await;
    let idle = Setup {
        is_idle: true,
        ..Setup::fetching(&["anyone"])
    };
    let reader = idle.on(world.node(2).await).await;
    shared(&owner, &reader, b"content", &[]).await;
    assert_eq!(reader.waiting().await, 1);
    let again = Setup {
        queue: Some(reader.queue.clone()),
        ..Setup::fetching(&["anyone"])
    };
    let reader = again.on(reader.node).await;
    reader.fetches(&DataHash::of(b"content")).await;
    eventually("nothing is left to do", async || {
        (reader.waiting().await == 0).then_some(())
    })
    .await;
}

/// A store without any room.
struct NoRoom;

impl StorageQuota for NoRoom {
    fn kept(&self) -> Kept {
        Kept {
            own: 0,
            foreign: 1000,
        }
    }

    fn limits(&self) -> KeptLimits {
        KeptLimits {
            foreign: 1000,
            ..KeptLimits::NONE
        }
    }
}

#[tokio::test]
async fn without_room_nothing_is_fetched_and_it_is_tried_again_later() {
    let world = World::new();
    let owner = world.node(1).await;
    let setup = Setup {
        quota: Some(Arc::new(NoRoom)),
        ..Setup::fetching(&["anyone"])
    };
    let reader = setup.on(world.node(2).await).await;
    let outcome = owner
        .data
        .share_bytes(data(50), terms(reader.node.address()))
        .await
        .unwrap();
    let object = ObjectId {
        locator: outcome.data_hash.locator(),
        owner: owner.address(),
    };
    // Its copy may have been pushed here.
    dm_core::ports::ObjectStore::remove(&*reader.node.objects, &object)
        .await
        .unwrap();
    let now = dm_core::clock::now_ms();
    reader.learns_of(object).await;
    eventually("it is put off", async || {
        let waiting = reader.queue.scan(b"d", None, 9).await.unwrap();
        let at = waiting
            .first()
            .map(|(key, _)| u64::from_be_bytes(key[1..9].try_into().unwrap()));
        at.filter(|at| *at >= now + 30_000)
    })
    .await;
    assert!(!reader.has(&outcome.data_hash).await);
    // Learning of it again does not make it try at once.
    reader.learns_of(object).await;
    assert_eq!(reader.waiting().await, 1);
}

#[tokio::test]
async fn a_sender_whose_data_does_not_come_holds_up_no_other() {
    // More than are looked at in the queue at a time.
    const MANY: usize = 100;
    let world = World::new();
    let (slow, quick) = (world.node(1).await, world.node(2).await);
    let setup = Setup {
        stalled_sender: Some(slow.address()),
        ..Setup::fetching(&["anyone"])
    };
    let reader = setup.on(world.node(3).await).await;
    // No copy is pushed to the reader.
    reader.node.network.set_online(false);
    let mut shared = Vec::new();
    for (owner, size) in (1..=MANY).map(|size| (&slow, size)).chain([(&quick, MANY + 1)]) {
        let terms = terms(reader.node.address());
        let outcome = owner.data.share_bytes(data(size), terms).await.unwrap();
        shared.push((owner.address(), outcome.data_hash));
    }
    reader.node.network.set_online(true);
    for (owner, hash) in &shared {
        let locator = hash.locator();
        reader
            .learns_of(ObjectId {
                locator,
                owner: *owner,
            })
            .await;
    }
    let (_, quick) = shared.pop().unwrap();
    reader.fetches(&quick).await;
    for (_, hash) in &shared {
        assert!(!reader.has(hash).await);
    }
}
