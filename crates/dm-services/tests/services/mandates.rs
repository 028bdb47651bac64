//! Shares that an authorised user orders by a signed statement.

use dm_core::{
    Address, U256,
    clock::now_ms,
    event::EventKind,
    hash::DataHash,
    mandate::{PresentedMandate, ShareStatement, StatedPayment},
    payment::PaymentTerms,
    ports::{ComplianceLog, Signer},
    share::{NewShare, ShareOutcome, ShareRecord, ShareTerms},
};
use dm_services::ServiceError;
use dm_testing::{signer::TestSigner, user_keys::signed};

use crate::{
    ordered::{DAY, Ordered},
    support::{World, data, eventually, keyed, terms},
    transfers::{allow, balance, supported_token},
};

fn hash(size: usize) -> DataHash {
    DataHash::of(&data(size))
}

fn said(result: Result<ShareOutcome, ServiceError>) -> String {
    match result {
        Err(ServiceError::MandateUnfit(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_ordered_share_says_in_its_event_who_ordered_it() {
    let world = World::new();
    let ordered = Ordered::new(&world, true).await;
    let to = world.node(2).await.address();
    let presented = ordered.sign(&ordered.statement(hash(100), to));
    let shared = ordered
        .share(100, Some(presented.clone()), terms(to))
        .await
        .unwrap();
    let event = ordered.event(shared.leaf_index.unwrap()).await;
    let mandate = event.mandate.unwrap();
    assert_eq!(mandate.user_id.as_str(), "alice");
    assert_eq!(mandate.key, ordered.alice.address().to_string());
    assert_eq!(
        (mandate.statement, mandate.signature),
        (presented.statement, presented.signature)
    );
}

#[tokio::test]
async fn where_an_order_is_required_nothing_is_shared_without_one() {
    let world = World::new();
    let ordered = Ordered::new(&world, true).await;
    let to = world.node(2).await.address();
    let refused = ordered.share(100, None, terms(to)).await;
    assert!(
        matches!(refused, Err(ServiceError::Unmandated { field: "user_id", .. })),
        "{refused:?}"
    );
    // Also past the check of requests.
    let refused = ordered.data.share_bytes(data(100), terms(to)).await;
    assert!(
        matches!(refused, Err(ServiceError::Unmandated { .. })),
        "{refused:?}"
    );
    assert_eq!(ordered.node.events().await, 0);
    let presented = ordered.sign(&ordered.statement(hash(100), to));
    ordered.share(100, Some(presented), terms(to)).await.unwrap();
    let refused = ordered
        .data
        .grant(&hash(100), terms(Address::repeat_byte(9)))
        .await;
    assert!(
        matches!(refused, Err(ServiceError::Unmandated { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn where_no_order_is_required_one_that_comes_is_checked_and_recorded() {
    let world = World::new();
    let ordered = Ordered::new(&world, false).await;
    let to = world.node(2).await.address();
    let unsigned = ordered.share(100, None, terms(to)).await.unwrap();
    assert_eq!(ordered.event(unsigned.leaf_index.unwrap()).await.mandate, None);
    let statement = ordered.statement(hash(200), to);
    let mut forged = ordered.sign(&statement);
    forged.signature = signed(&TestSigner::new(78), &forged.statement);
    let refused = ordered.share(200, Some(forged), terms(to)).await;
    assert!(
        matches!(
            refused,
            Err(ServiceError::Unmandated {
                field: "signature",
                ..
            })
        ),
        "{refused:?}"
    );
    let shared = ordered
        .share(200, Some(ordered.sign(&statement)), terms(to))
        .await
        .unwrap();
    assert!(ordered.event(shared.leaf_index.unwrap()).await.mandate.is_some());
}

#[tokio::test]
async fn a_statement_for_something_else_is_refused_and_the_part_is_named() {
    let world = World::new();
    let ordered = Ordered::new(&world, true).await;
    let to = world.node(2).await.address();
    let good = ordered.statement(hash(100), to);
    let other = Address::repeat_byte(9);
    let payment = Some(StatedPayment {
        amount: "5".to_owned(),
        token: other,
    });
    let now = now_ms();
    for (statement, part) in [
        (
            ShareStatement {
                chain_id: 1,
                ..good.clone()
            },
            "is for chain 1, not 31337".to_owned(),
        ),
        (
            ShareStatement {
                node_id: "node-2".to_owned(),
                ..good.clone()
            },
            "is for node node-2, not node-1".to_owned(),
        ),
        (
            ShareStatement {
                log: other,
                ..good.clone()
            },
            format!("is for the log of {other}, not {}", ordered.node.address()),
        ),
        (
            ShareStatement {
                recipient: other,
                ..good.clone()
            },
            format!("is for recipient {other}, not {to}"),
        ),
        (
            ShareStatement {
                data_hash: hash(101),
                ..good.clone()
            },
            format!("is for data {}, not {}", hash(101), hash(100)),
        ),
        (
            ShareStatement {
                user_id: "bob".parse().unwrap(),
                ..good.clone()
            },
            "is for user bob, not alice".to_owned(),
        ),
        (
            ShareStatement {
                payment,
                ..good.clone()
            },
            format!("is for the payment of 5 of token {other}, not nothing"),
        ),
        (
            ShareStatement {
                expires_at: now - 1,
                ..good.clone()
            },
            "has ended".to_owned(),
        ),
        (
            ShareStatement {
                expires_at: now + 400 * DAY,
                ..good.clone()
            },
            "is good for too long".to_owned(),
        ),
    ] {
        let refused = ordered
            .share(100, Some(ordered.sign(&statement)), terms(to))
            .await;
        let reason = said(refused);
        assert!(reason.starts_with(&part), "{reason}\n{part}");
    }
    assert_eq!(ordered.node.events().await, 0);
}

#[tokio::test]
async fn what_is_no_statement_or_signature_is_an_invalid_field() {
    let world = World::new();
    let ordered = Ordered::new(&world, true).await;
    let to = world.node(2).await.address();
    let good = ordered.sign(&ordered.statement(hash(100), to));
    let changed = |change: &dyn Fn(&mut PresentedMandate)| {
        let mut presented = good.clone();
        change(&mut presented);
        presented
    };
    for (presented, field) in [
        (changed(&|p| p.user_id = "al ice".to_owned()), "user_id"),
        (changed(&|p| p.statement.push(' ')), "statement"),
        (changed(&|p| p.statement = "{}".to_owned()), "statement"),
        (changed(&|p| p.signature = "0x00".to_owned()), "signature"),
        (changed(&|p| p.signature = "0".repeat(10_000)), "signature"),
    ] {
        match ordered.share(100, Some(presented), terms(to)).await {
            Err(ServiceError::Invalid { field: found, .. }) => assert_eq!(found, field),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn the_same_order_again_is_the_same_share_and_after_an_erasure_none() {
    let world = World::new();
    let ordered = Ordered::new(&world, true).await;
    let to = world.node(2).await.address();
    let statement = ordered.statement(hash(100), to);
    let order = || Some(ordered.sign(&statement));
    let first = ordered.share(100, order(), terms(to)).await.unwrap();
    let again = ordered
        .share(100, order(), keyed(to, "another key"))
        .await
        .unwrap();
    assert_eq!(again.leaf_index, first.leaf_index);
    ordered.data.erase(&first.data_hash).await.unwrap();
    let refused = said(ordered.share(100, order(), terms(to)).await);
    assert!(refused.contains("used already"), "{refused}");
    let refused = ordered.authorization.admit(order(), terms(to)).await.unwrap();
    let refused = ordered.data.grant(&first.data_hash, refused).await;
    assert!(matches!(refused, Err(ServiceError::NotFound)), "{refused:?}");
    let fresh = ShareStatement {
        expires_at: statement.expires_at + 1,
        ..statement.clone()
    };
    let anew = ordered
        .share(100, Some(ordered.sign(&fresh)), terms(to))
        .await
        .unwrap();
    assert_ne!(anew.leaf_index, first.leaf_index);
    let mandate = ordered.event(anew.leaf_index.unwrap()).await.mandate.unwrap();
    assert_eq!(mandate.statement, fresh.canonical().unwrap());
}

#[tokio::test]
async fn an_order_does_not_bring_back_access_that_was_withdrawn() {
    let world = World::new();
    let ordered = Ordered::new(&world, true).await;
    let to = world.node(2).await.address();
    let statement = Some(ordered.sign(&ordered.statement(hash(100), to)));
    ordered.share(100, statement.clone(), terms(to)).await.unwrap();
    ordered.data.revoke(&hash(100), to).await.unwrap();
    let refused = said(ordered.share(100, statement, terms(to)).await);
    assert!(refused.contains("used already"), "{refused}");
}

#[tokio::test]
async fn a_grant_needs_an_order_and_says_in_its_event_whose() {
    let world = World::new();
    let ordered = Ordered::new(&world, true).await;
    let (first, second) = (world.node(2).await.address(), world.node(3).await.address());
    let order = |to| Some(ordered.sign(&ordered.statement(hash(100), to)));
    ordered.share(100, order(first), terms(first)).await.unwrap();
    let admitted = ordered
        .authorization
        .admit(order(second), terms(second))
        .await
        .unwrap();
    let granted = ordered.data.grant(&hash(100), admitted).await.unwrap();
    let event = ordered.event(granted.leaf_index.unwrap()).await;
    assert_eq!(event.event_type, EventKind::Grant);
    assert_eq!(event.mandate.unwrap().user_id.as_str(), "alice");
}

#[tokio::test]
async fn an_order_is_paid_once_whatever_idempotency_keys_come_with_it() {
    let world = World::new();
    let ordered = Ordered::new(&world, true).await;
    let buyer = world.node(2).await;
    let token = supported_token(&world, &ordered.node, buyer.address()).await;
    allow(&world, buyer.address(), token, ordered.node.address(), 1000).await;
    let price = |key: &str| ShareTerms {
        payment: Some(PaymentTerms {
            token,
            amount: U256::from(40),
            consent: None,
        }),
        ..keyed(buyer.address(), key)
    };
    let statement = ShareStatement {
        payment: price("").payment.as_ref().map(StatedPayment::from),
        ..ordered.statement(hash(100), buyer.address())
    };
    let order = || Some(ordered.sign(&statement));
    for key in ["one", "two"] {
        let shared = ordered.share(100, order(), price(key)).await.unwrap();
        assert!(shared.payment.is_some());
    }
    ordered.data.erase(&hash(100)).await.unwrap();
    let refused = said(ordered.share(100, order(), price("three")).await);
    assert!(refused.contains("used already"), "{refused}");
    assert_eq!(balance(&world, token, ordered.node.address()).await, 40);
}

#[tokio::test]
async fn a_user_who_was_removed_orders_nothing_more_at_once() {
    let world = World::new();
    let ordered = Ordered::new(&world, true).await;
    let to = world.node(2).await.address();
    let order = |size| Some(ordered.sign(&ordered.statement(hash(size), to)));
    let under_way = ordered.authorization.admit(order(100), terms(to)).await.unwrap();
    assert!(ordered.users.remove(&"alice".parse().unwrap()).await.unwrap());
    let refused = ordered.share(200, order(200), terms(to)).await;
    assert!(
        matches!(refused, Err(ServiceError::Unmandated { .. })),
        "{refused:?}"
    );
    // Also an upload whose order was checked before it began.
    let mut upload = ordered.data.begin_upload().await.unwrap();
    upload.write(data(100)).await.unwrap();
    let refused = upload.finish(under_way).await;
    assert!(
        matches!(refused, Err(ServiceError::Unmandated { .. })),
        "{refused:?}"
    );
    assert_eq!(ordered.node.events().await, 0);
}

#[tokio::test]
async fn an_interrupted_share_keeps_its_order() {
    let world = World::new();
    let ordered = Ordered::new(&world, true).await;
    let (first, second) = (world.node(2).await.address(), world.node(3).await.address());
    let order = |to| ordered.sign(&ordered.statement(hash(100), to));
    ordered
        .share(100, Some(order(first)), terms(first))
        .await
        .unwrap();
    // Stored, and not recorded: as if the node had stopped in between.
    let admitted = ordered
        .authorization
        .admit(Some(order(second)), terms(second))
        .await
        .unwrap();
    let share = ShareRecord {
        mandate: admitted
            .mandate
            .as_deref()
            .map(|mandate| Box::new(mandate.into())),
        ..ShareRecord::new(hash(100), second, 1)
    };
    ordered
        .node
        .ports
        .catalog
        .commit_share(&NewShare::from(share.clone()))
        .await
        .unwrap();
    ordered.node.spread();
    let event = eventually("the share is recorded", async || {
        ordered
            .node
            .log
            .receipt(1)
            .await
            .ok()?
            .map(|receipt| receipt.event)
    })
    .await;
    assert_eq!(event.recipient, Some(second));
    assert_eq!(event.mandate.as_deref(), share.event_mandate().as_deref());
    assert!(event.mandate.is_some());
}

#[tokio::test]
async fn while_the_chain_is_away_an_order_waits_and_a_share_without_one_does_not() {
    let world = World::new();
    let ordered = Ordered::new(&world, false).await;
    let to = world.node(2).await.address();
    world.money.set_away(true);
    let presented = ordered.sign(&ordered.statement(hash(100), to));
    let refused = ordered.authorization.admit(Some(presented), terms(to)).await;
    assert!(
        matches!(refused, Err(ServiceError::Unavailable(_))),
        "{refused:?}"
    );
    ordered.authorization.admit(None, terms(to)).await.unwrap();
}
