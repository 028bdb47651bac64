//! What paid shares promise, on in-memory ports.

use dm_core::{
    Address, U256,
    event::EventKind,
    hash::DataHash,
    order::{OrderState, Purpose},
    payment::PaymentTerms,
    ports::{ComplianceLog, EventFilter, ShareCatalog},
    share::ShareTerms,
};
use dm_services::ServiceError;
use dm_testing::money::Habit;

use crate::{
    support::{TestNode, World, data, eventually, terms},
    transfers::{allow, balance, supported_token},
};

pub(crate) fn paid(recipient: Address, token: Address, amount: u64) -> ShareTerms {
    ShareTerms {
        payment: Some(PaymentTerms {
            token,
            amount: U256::from(amount),
            consent: None,
        }),
        ..terms(recipient)
    }
}

/// A seller, a buyer who has 1000 of a token, and the token.
pub(crate) async fn market(world: &World) -> (TestNode, TestNode, Address) {
    let (seller, buyer) = (world.node(1).await, world.node(2).await);
    let token = supported_token(world, &seller, buyer.address()).await;
    (seller, buyer, token)
}

#[tokio::test]
async fn the_recipient_pays_once_for_a_share_and_reads_it() {
    let world = World::new();
    let (seller, buyer, token) = market(&world).await;
    allow(&world, buyer.address(), token, seller.address(), 100).await;
    let terms = paid(buyer.address(), token, 40);
    let shared = seller.data.share_bytes(data(500), terms.clone()).await.unwrap();
    let payment = shared.payment.clone().unwrap();
    assert_eq!((payment.payer, payment.amount), (buyer.address(), U256::from(40)));
    assert!(buyer.read(&shared.data_hash).await.unwrap() == data(500));
    for _ in 0..3 {
        let again = seller.data.share_bytes(data(500), terms.clone()).await.unwrap();
        assert_eq!(again, shared);
    }
    assert_eq!(balance(&world, token, seller.address()).await, 40);
    let filter = EventFilter {
        kinds: [EventKind::Transfer].into(),
        data_hash: Some(shared.data_hash),
        recipient: None,
    };
    let recorded = seller.log.find(&filter).await.unwrap().unwrap();
    assert_eq!(recorded.event.details["purpose"], "payment");
    assert_eq!(seller.events().await, 2);
}

#[tokio::test]
async fn who_cannot_pay_gets_nothing_and_nothing_is_stored() {
    let world = World::new();
    let (seller, buyer, token) = market(&world).await;
    for (allowance, amount) in [(0, 40), (39, 40), (5000, 1001)] {
        allow(&world, buyer.address(), token, seller.address(), allowance).await;
        let refused = seller
            .data
            .share_bytes(data(500), paid(buyer.address(), token, amount))
            .await;
        assert!(
            matches!(refused, Err(ServiceError::PaymentRequired(_))),
            "{refused:?}"
        );
    }
    let hash = DataHash::of(&data(500));
    assert!(matches!(seller.read(&hash).await, Err(ServiceError::NotFound)));
    assert_eq!(seller.catalog.share(&hash, buyer.address()).await.unwrap(), None);
    assert_eq!(balance(&world, token, seller.address()).await, 0);
    assert_eq!(seller.events().await, 0);
}

#[tokio::test]
async fn a_second_recipient_pays_for_itself() {
    let world = World::new();
    let (seller, buyer, token) = market(&world).await;
    allow(&world, buyer.address(), token, seller.address(), 100).await;
    seller
        .data
        .share_bytes(data(500), terms(Address::repeat_byte(9)))
        .await
        .unwrap();
    let shared = seller
        .data
        .share_bytes(data(500), paid(buyer.address(), token, 40))
        .await
        .unwrap();
    assert!(shared.payment.is_some());
    assert!(buyer.read(&shared.data_hash).await.unwrap() == data(500));
    assert_eq!(balance(&world, token, seller.address()).await, 40);
}

#[tokio::test]
async fn an_upload_can_be_paid_for() {
    let world = World::new();
    let (seller, buyer, token) = market(&world).await;
    allow(&world, buyer.address(), token, seller.address(), 100).await;
    let mut upload = seller.data.begin_upload().await.unwrap();
    upload.write(data(300_000)).await.unwrap();
    let shared = upload.finish(paid(buyer.address(), token, 40)).await.unwrap();
    assert!(shared.payment.is_some());
    assert_eq!(balance(&world, token, seller.address()).await, 40);
}

#[tokio::test]
async fn a_payment_that_takes_long_is_gone_on_with_and_not_made_again() {
    let world = World::new();
    let (seller, buyer, token) = market(&world).await;
    allow(&world, buyer.address(), token, seller.address(), 100).await;
    world.money.set_mining(false);
    let terms = paid(buyer.address(), token, 40);
    for _ in 0..2 {
        let waiting = seller.data.share_bytes(data(500), terms.clone()).await;
        assert!(
            matches!(waiting, Err(ServiceError::PaymentPending { tx_hash: Some(_) })),
            "{waiting:?}"
        );
    }
    let dearer = seller
        .data
        .share_bytes(data(500), paid(buyer.address(), token, 41))
        .await;
    assert!(
        matches!(
            dearer,
            Err(ServiceError::Invalid {
                field: "payment_amount",
                ..
            })
        ),
        "{dearer:?}"
    );
    world.money.mine();
    let shared = seller.data.share_bytes(data(500), terms).await.unwrap();
    assert!(shared.payment.is_some());
    assert_eq!(balance(&world, token, seller.address()).await, 40);
}

#[tokio::test]
async fn a_share_that_fails_after_its_payment_says_so_and_is_completed_by_repetition() {
    let world = World::new();
    let (seller, buyer, token) = market(&world).await;
    allow(&world, buyer.address(), token, seller.address(), 100).await;
    let terms = paid(buyer.address(), token, 40);
    seller.objects.set_full(true);
    let failed = seller
        .data
        .share_bytes(data(500), terms.clone())
        .await
        .unwrap_err();
    assert!(
        failed.to_string().contains("is given back after that"),
        "{failed}"
    );
    let ServiceError::PaidInVain { cause, .. } = failed else {
        panic!("{failed:?}");
    };
    assert!(matches!(*cause, ServiceError::StorageFull));
    seller.objects.set_full(false);
    let shared = seller.data.share_bytes(data(500), terms).await.unwrap();
    assert!(shared.payment.is_some());
    assert_eq!(balance(&world, token, seller.address()).await, 40);
}

#[tokio::test]
async fn a_payment_whose_share_never_comes_is_given_back_once() {
    let world = World::new();
    let (seller, buyer, token) = market(&world).await;
    allow(&world, buyer.address(), token, seller.address(), 100).await;
    seller.objects.set_full(true);
    let terms = paid(buyer.address(), token, 40);
    assert!(seller.data.share_bytes(data(500), terms.clone()).await.is_err());
    assert_eq!(balance(&world, token, seller.address()).await, 40);
    seller.spread();
    eventually("the payment is given back", async || {
        (balance(&world, token, buyer.address()).await == 1000).then_some(())
    })
    .await;
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let orders = seller.payments().orders(None, 10).await.unwrap();
    let refunds = orders
        .iter()
        .filter(|(_, record)| matches!(record.purpose, Purpose::Refund { .. }))
        .count();
    assert_eq!(refunds, 1);
    seller.objects.set_full(false);
    let shared = seller.data.share_bytes(data(500), terms).await.unwrap();
    assert!(shared.payment.is_some());
    assert_eq!(balance(&world, token, seller.address()).await, 40);
}

#[tokio::test]
async fn what_a_token_keeps_for_itself_is_no_payment_and_the_rest_is_given_back() {
    let world = World::new();
    let (seller, buyer, token) = market(&world).await;
    allow(&world, buyer.address(), token, seller.address(), 100).await;
    world.money.change(token, |token| token.habit = Habit::TakesFee);
    let refused = seller
        .data
        .share_bytes(data(500), paid(buyer.address(), token, 40))
        .await;
    assert!(
        matches!(
            refused,
            Err(ServiceError::Rejected {
                field: "payment_token",
                ..
            })
        ),
        "{refused:?}"
    );
    assert_eq!(balance(&world, token, seller.address()).await, 0);
    assert_eq!(seller.events().await, 2);
}

#[tokio::test]
async fn a_token_that_lies_buys_nothing() {
    let world = World::new();
    let (seller, buyer, token) = market(&world).await;
    allow(&world, buyer.address(), token, seller.address(), 100).await;
    world.money.change(token, |token| token.habit = Habit::Lies);
    let refused = seller
        .data
        .share_bytes(data(500), paid(buyer.address(), token, 40))
        .await;
    assert!(
        matches!(refused, Err(ServiceError::TransactionFailed(_))),
        "{refused:?}"
    );
    let hash = DataHash::of(&data(500));
    assert!(matches!(seller.read(&hash).await, Err(ServiceError::NotFound)));
    let orders = seller.payments().orders(None, 10).await.unwrap();
    assert!(matches!(orders[0].1.state, OrderState::Failed { .. }));
}
