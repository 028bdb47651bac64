//! Shares with several recipients of one request: each has an outcome of its own, and the
//! request counts once.

use dm_core::{
    Address, U256,
    hash::DataHash,
    operation::{Operation, OperationId},
    ports::{ComplianceLog, EventFilter, HistoryQuery, Operations, ShareCatalog},
    share::{ShareOutcome, ShareTerms},
};
use dm_services::{DataManager, ServiceError, ShareOutcomes};
use dm_testing::faults::{Fault, Faults};

use crate::{
    payments::{market, paid},
    support::{TestNode, World, data, holders, keyed, settings},
    transfers::allow,
};

/// What was shared with each, where nothing has failed.
fn made(outcomes: ShareOutcomes) -> Vec<ShareOutcome> {
    outcomes.into_iter().map(Result::unwrap).collect()
}

/// A request with these recipients under one key.
pub(crate) fn asked(recipients: &[&TestNode], key: &str) -> Vec<ShareTerms> {
    let recipients: Vec<_> = recipients.iter().map(|node| node.address()).collect();
    keyed(recipients[0], key).for_each(&recipients)
}

pub(crate) async fn events(owner: &TestNode, hash: DataHash, recipient: &TestNode) -> usize {
    let query = HistoryQuery {
        filter: EventFilter::share(hash, recipient.address()),
        before: None,
        limit: 10,
    };
    owner.log.history(&query).await.unwrap().entries.len()
}

#[tokio::test]
async fn data_for_several_is_stored_once_and_read_by_each() {
    let world = World::new();
    let owner = world.node(1).await;
    let readers = [world.node(2).await, world.node(3).await, world.node(4).await];
    let terms = asked(&readers.each_ref(), "key");
    for is_upload in [false, true] {
        let bytes = data(300_000 + usize::from(is_upload));
        let hash = DataHash::of(&bytes);
        let outcomes = if is_upload {
            let mut upload = owner.data.begin_upload().await.unwrap();
            upload.write(bytes.clone()).await.unwrap();
            let terms = asked(&readers.each_ref(), "upload");
            upload.finish_with_each(terms).await
        } else {
            owner
                .data
                .share_bytes_with_each(bytes.clone(), terms.clone())
                .await
        };
        let outcomes = made(outcomes.unwrap());
        for (outcome, reader) in outcomes.iter().zip(&readers) {
            assert_eq!((outcome.data_hash, outcome.recipient), (hash, reader.address()));
            assert!(!outcome.grant_pending);
            assert_eq!(outcome.replicas, 3);
            assert!(reader.read(&hash).await.unwrap() == bytes);
            assert_eq!(events(&owner, hash, reader).await, 1);
        }
        // The owner and its three peers, with the grants of all.
        assert_eq!(holders(&readers[0], &hash).await, 3);
        assert_eq!(owner.data.readers(&hash).await.unwrap().len(), 3);
    }
}

/// A seller, and two buyers of whom one has allowed no payment.
pub(crate) struct Market {
    pub(crate) owner: TestNode,
    pub(crate) poor: TestNode,
    pub(crate) rich: TestNode,
    pub(crate) token: Address,
}

impl Market {
    pub(crate) async fn new(world: &World) -> Self {
        let (owner, poor, token) = market(world).await;
        let rich = world.node(3).await;
        let gift = Operation::Transfer {
            token,
            to: rich.address(),
            amount: U256::from(100),
        };
        let operations = world.money.operations(poor.address());
        operations.begin(OperationId::random(), &gift).await.unwrap();
        allow(world, rich.address(), token, owner.address(), 100).await;
        Self {
            owner,
            poor,
            rich,
            token,
        }
    }
}

#[tokio::test]
async fn one_that_cannot_pay_does_not_undo_the_others() {
    let world = World::new();
    let Market {
        owner,
        poor,
        rich,
        token,
    } = Market::new(&world).await;
    let recipients = [poor.address(), rich.address()];
    for is_upload in [false, true] {
        let bytes = data(500 + usize::from(is_upload));
        let terms = paid(poor.address(), token, 10).for_each(&recipients);
        let share = async || {
            if is_upload {
                let mut upload = owner.data.begin_upload().await.unwrap();
                upload.write(bytes.clone()).await.unwrap();
                upload.finish_with_each(terms.clone()).await.unwrap()
            } else {
                let shares = owner.data.share_bytes_with_each(bytes.clone(), terms.clone());
                shares.await.unwrap()
            }
        };
        let outcomes = share().await;
        assert!(
            matches!(outcomes[0], Err(ServiceError::PaymentRequired(_))),
            "{outcomes:?}"
        );
        let sold = outcomes[1].as_ref().unwrap();
        assert_eq!(sold.payment.as_ref().unwrap().payer, rich.address());
        assert!(rich.read(&sold.data_hash).await.unwrap() == bytes);
        assert!(poor.read(&sold.data_hash).await.is_err());
        // The same request does what failed before, and nothing twice.
        allow(&world, poor.address(), token, owner.address(), 100).await;
        let again = made(share().await);
        assert_eq!(again[1].payment, sold.payment);
        assert!(poor.read(&sold.data_hash).await.unwrap() == bytes);
        allow(&world, poor.address(), token, owner.address(), 0).await;
    }
}

#[tokio::test]
async fn a_key_of_several_is_for_all_of_them_together() {
    let world = World::new();
    let owner = world.node(1).await;
    let (one, other, third) = (world.node(2).await, world.node(3).await, world.node(4).await);
    let share = async |bytes, terms| owner.data.share_bytes_with_each(bytes, terms).await.unwrap();
    made(share(data(100), asked(&[&one, &other], "key")).await);
    made(share(data(100), asked(&[&other, &one], "key")).await);
    for (bytes, terms) in [
        (data(101), asked(&[&one, &other], "key")),
        (data(100), asked(&[&one, &other, &third], "key")),
        (data(100), asked(&[&third], "key")),
        (data(100), vec![keyed(other.address(), "key")]),
    ] {
        for outcome in share(bytes, terms).await {
            assert!(
                matches!(outcome, Err(ServiceError::IdempotencyKeyReused)),
                "{outcome:?}"
            );
        }
    }
    assert_eq!(owner.events().await, 2);
    assert!(third.read(&DataHash::of(&data(100))).await.is_err());
}

/// Runs a request whose write number `write` ends so, starts the node again, and asks
/// again; whether there was such a write.
async fn is_whole_after(write: u64, fault: Fault) -> bool {
    let (world, faults) = (World::new(), Faults::new());
    let owner = world.node_with(1, &faults).await;
    let readers = [world.node(2).await, world.node(3).await, world.node(4).await];
    let hash = DataHash::of(&data(500));
    let before = faults.writes();
    faults.after(write, fault);
    let terms = asked(&readers.each_ref(), "key");
    let first = owner.data.share_bytes_with_each(data(500), terms.clone()).await;
    let has_happened = faults.writes() > before + write;
    faults.revive();
    let restarted = DataManager::new(&owner.ports, settings()).unwrap();
    restarted.catch_up().await;
    let kept = owner
        .catalog
        .share_by_key(terms[0].idempotency_key.as_ref().unwrap());
    let is_begun = kept.await.unwrap().is_some();
    let other = restarted
        .share_bytes_with_each(data(501), terms.clone())
        .await
        .unwrap();
    let is_refused = |outcome: &Result<_, _>| matches!(outcome, Err(ServiceError::IdempotencyKeyReused));
    if is_begun {
        assert!(
            other.iter().all(is_refused),
            "{fault:?} {write}: {first:?} {other:?}"
        );
        let again = restarted.share_bytes_with_each(data(500), terms).await.unwrap();
        assert_eq!(made(again).len(), 3);
        restarted.catch_up().await;
        for reader in &readers {
            assert!(reader.read(&hash).await.unwrap() == data(500));
            assert_eq!(events(&owner, hash, reader).await, 1, "{fault:?} {write}");
        }
    } else {
        assert_eq!(
            made(other).len(),
            3,
            "the key of a request that came to nothing is free"
        );
    }
    has_happened
}

#[tokio::test]
async fn a_request_with_several_counts_once_wherever_it_is_interrupted() {
    for fault in [
        Fault::KilledBefore,
        Fault::KilledAfter,
        Fault::Unconfirmed,
        Fault::Refused,
    ] {
        let mut writes = 0;
        while is_whole_after(writes, fault).await {
            writes += 1;
        }
        assert!(writes > 8, "{writes}");
    }
}
