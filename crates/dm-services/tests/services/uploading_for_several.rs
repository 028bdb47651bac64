//! Data that came in parts for several recipients: each has an outcome of its own, and what was
//! taken back since does not come back.

use dm_core::{
    hash::DataHash,
    ports::{ShareCatalog, UnfinishedObjects, UploadCatalog},
    share::ShareTerms,
    upload::{OpenUploads, UploadId},
};
use dm_services::{DataManager, ServiceError, ShareOutcomes, UploadError, UploadOutcome};
use dm_testing::faults::{Fault, Faults};

use crate::{
    payments::paid,
    several_recipients::{Market, asked, events},
    support::{TestNode, World, data, settings, terms},
    transfers::allow,
    uploading::{KEY, SIZE, begin_for_each, offset, restarted, send},
    uploading_crashes::send_to_the_end,
};

async fn outcomes(data: &DataManager, id: UploadId) -> ShareOutcomes {
    match data.uploads().outcome(KEY, id).await.unwrap() {
        UploadOutcome::SharedWithEach { outcomes, .. } => outcomes,
        other => panic!("not shared with several: {other:?}"),
    }
}

async fn open(node: &TestNode) -> OpenUploads {
    node.catalog.open_uploads(None).await.unwrap()
}

#[tokio::test]
async fn what_one_recipient_of_an_upload_cannot_pay_the_others_get() {
    let world = World::new();
    let Market {
        owner,
        poor,
        rich,
        token,
    } = Market::new(&world).await;
    let bytes = data(SIZE);
    let hash = DataHash::of(&bytes);
    let terms = paid(poor.address(), token, 10).for_each(&[poor.address(), rich.address()]);
    let id = begin_for_each(&owner.data, SIZE, &terms).await;
    send(&owner.data, id, &bytes, 0..SIZE).await.unwrap();
    assert_eq!(
        open(&owner).await,
        OpenUploads::default(),
        "nothing more is to come"
    );
    assert!(owner.objects.list_unfinished().await.unwrap().is_empty());
    let first = outcomes(&owner.data, id).await;
    assert!(
        matches!(first[0], Err(ServiceError::PaymentRequired(_))),
        "{first:?}"
    );
    let sold = first[1].as_ref().unwrap();
    assert_eq!(sold.payment.as_ref().unwrap().payer, rich.address());
    assert!(rich.read(&hash).await.unwrap() == bytes);
    assert!(poor.read(&hash).await.is_err());

    owner.data.catch_up().await;
    allow(&world, poor.address(), token, owner.address(), 100).await;
    restarted(&owner).catch_up().await;
    assert!(
        poor.read(&hash).await.is_err(),
        "nobody pays for what was refused, unless the client asks again"
    );
    let again = outcomes(&owner.data, id).await;
    assert_eq!(again[1].as_ref().unwrap().payment, sold.payment);
    assert_eq!(again[0].as_ref().unwrap().recipient, poor.address());
    assert!(poor.read(&hash).await.unwrap() == bytes);
}

#[tokio::test]
async fn an_upload_that_no_recipient_can_pay_is_shared_when_its_client_asks_again() {
    let world = World::new();
    let Market {
        owner,
        poor,
        rich,
        token,
    } = Market::new(&world).await;
    allow(&world, rich.address(), token, owner.address(), 0).await;
    let bytes = data(SIZE);
    let terms = paid(poor.address(), token, 10).for_each(&[poor.address(), rich.address()]);
    let id = begin_for_each(&owner.data, SIZE, &terms).await;
    let refused = send(&owner.data, id, &bytes, 0..SIZE).await;
    assert!(
        matches!(
            refused,
            Err(UploadError::Service(ServiceError::PaymentRequired(_)))
        ),
        "{refused:?}"
    );
    for buyer in [&poor, &rich] {
        allow(&world, buyer.address(), token, owner.address(), 100).await;
    }
    owner.data.catch_up().await;
    assert_eq!(owner.events().await, 0);
    let made = outcomes(&restarted(&owner), id).await;
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    assert!(rich.read(&DataHash::of(&bytes)).await.unwrap() == bytes);
}

#[tokio::test]
async fn a_node_that_is_killed_at_any_write_shares_an_upload_with_each_once() {
    let bytes = data(SIZE);
    let hash = DataHash::of(&bytes);
    for fault in [Fault::KilledBefore, Fault::KilledAfter, Fault::Unconfirmed] {
        let mut writes = 0;
        let mut at = 0;
        while at == 0 || at < writes {
            let (world, faults) = (World::new(), Faults::new());
            let owner = world.node_with(1, &faults).await;
            let readers = [world.node(2).await, world.node(3).await, world.node(4).await];
            let terms = asked(&readers.each_ref(), "key");
            let before = faults.writes();
            faults.after(at, fault);
            let id = send_to_the_end(&owner.ports, &faults, &bytes, &terms).await;
            writes = faults.writes() - before;
            let data = DataManager::new(&owner.ports, settings()).unwrap();
            data.catch_up().await;
            assert_eq!(outcomes(&data, id).await.len(), 3);
            for reader in &readers {
                assert!(reader.read(&hash).await.unwrap() == bytes, "{fault:?} {at}");
                assert_eq!(events(&owner, hash, reader).await, 1, "{fault:?} {at}");
            }
            at += 1;
        }
        assert!(writes > 10, "{writes}");
    }
}

/// What its owner takes back of what was shared.
#[derive(Debug, Clone, Copy, PartialEq)]
enum TakenBack {
    Access,
    Data,
}

/// Kills a node at write number `at` of the end of an upload, takes back what was shared, and
/// lets the node go on; whether there was such a write.
async fn stays_taken_back(at: u64, taken: TakenBack, of_several: bool) -> bool {
    let (world, faults) = (World::new(), Faults::new());
    let owner = world.node_with(1, &faults).await;
    let (first, second) = (world.node(2).await, world.node(3).await);
    let asked: Vec<ShareTerms> = match of_several {
        true => asked(&[&first, &second], "key"),
        false => vec![terms(first.address())],
    };
    let bytes = data(SIZE);
    let hash = DataHash::of(&bytes);
    let id = begin_for_each(&owner.data, SIZE, &asked).await;
    send(&owner.data, id, &bytes, 0..SIZE - 1).await.unwrap();
    faults.after(at, Fault::KilledAfter);
    let sent = send(&owner.data, id, &bytes, SIZE - 1..SIZE).await;
    let was_killed = faults.is_killed();
    assert!(was_killed || sent.is_ok(), "{sent:?}");
    faults.revive();
    let data = restarted(&owner);
    let sent = offset(&data, id).await as usize;
    if sent < SIZE {
        send(&data, id, &bytes, sent..SIZE).await.unwrap();
    }
    let share = async || owner.catalog.share(&hash, first.address()).await.unwrap();
    let was_shared = share().await.is_some();
    if was_shared {
        match taken {
            TakenBack::Access => drop(data.revoke(&hash, first.address()).await.unwrap()),
            TakenBack::Data => drop(data.erase(&hash).await.unwrap()),
        }
    }
    for _ in 0..2 {
        data.catch_up().await;
        // Neither does a client that asks bring it back.
        let _ = data.uploads().outcome(KEY, id).await;
    }
    assert_eq!(share().await.is_some(), !was_shared, "{taken:?} {at}");
    if was_shared {
        assert!(first.read(&hash).await.is_err(), "{taken:?} {at}");
    }
    if of_several {
        let others = owner.catalog.share(&hash, second.address()).await.unwrap();
        let is_erased = was_shared && taken == TakenBack::Data;
        assert_eq!(others.is_some(), !is_erased, "{taken:?} {at}");
    }
    assert_eq!(open(&owner).await, OpenUploads::default());
    was_killed
}

#[tokio::test]
async fn what_was_taken_back_after_a_kill_is_not_shared_again_by_its_upload() {
    for taken in [TakenBack::Access, TakenBack::Data] {
        for of_several in [false, true] {
            let mut at = 0;
            while stays_taken_back(at, taken, of_several).await {
                at += 1;
            }
            assert!(at > 4, "{at}");
        }
    }
}

#[tokio::test]
async fn what_was_shared_before_and_taken_back_since_is_not_shared_again_by_its_upload() {
    let world = World::new();
    let Market {
        owner,
        poor,
        rich,
        token,
    } = Market::new(&world).await;
    let bytes = data(SIZE);
    let hash = DataHash::of(&bytes);
    let priced = paid(poor.address(), token, 10);
    let before = owner.data.share_bytes(bytes.clone(), terms(rich.address()));
    before.await.unwrap();
    let several = priced.for_each(&[rich.address(), poor.address()]);
    let id = begin_for_each(&owner.data, SIZE, &several).await;
    send(&owner.data, id, &bytes, 0..SIZE).await.unwrap();
    assert!(outcomes(&owner.data, id).await[0].is_ok(), "it exists");
    owner.data.revoke(&hash, rich.address()).await.unwrap();
    let after = outcomes(&owner.data, id).await;
    assert!(matches!(after[0], Err(ServiceError::NotFound)), "{after:?}");
    let share = owner.catalog.share(&hash, rich.address()).await.unwrap();
    assert_eq!(share, None);
}
