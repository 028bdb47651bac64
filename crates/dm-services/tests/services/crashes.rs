//! A node that is killed at any step has moved money exactly once when it has
//! run again.

use std::sync::Arc;

use dm_core::{
    Address, U256,
    hash::DataHash,
    mandate::{ShareStatement, StatedPayment},
    order::OrderState,
    payment::PaymentTerms,
    ports::{Operations, OrderCatalog},
    share::ShareTerms,
    token::NATIVE_TOKEN,
};
use dm_services::{DataManager, MoneyPorts, OrderExecutor, PaymentProcessor, TransferRequest};
use dm_testing::mortal::{Fuse, Mortal};

use crate::{
    ordered::Ordered,
    support::{TestNode, World, data, eventually, money_settings, settings, terms},
    transfers::{allow, balance, key, supported_token},
};

/// The node's executor, which dies after so many calls.
fn mortal_executor(world: &World, node: &TestNode, fuse: &Fuse) -> OrderExecutor {
    let operations: Arc<dyn Operations> = world.money.operations(node.address());
    let orders: Arc<dyn OrderCatalog> = node.catalog.clone();
    let ports = MoneyPorts {
        chain: world.money.clone(),
        tokens: world.money.clone(),
        operations: Arc::new(Mortal::new(fuse, operations)),
        orders: Arc::new(Mortal::new(fuse, orders)),
        supported: node.catalog.clone(),
        log: node.log.clone(),
        bus: node.ports.bus.clone(),
    };
    OrderExecutor::new(ports, money_settings())
}

/// Runs `scenario` with a fuse of each length until one is long enough.
async fn for_every_step(scenario: impl AsyncFn(Fuse)) -> i64 {
    for length in 0..1000 {
        let fuse = Fuse::new(length);
        scenario(fuse.clone()).await;
        if !fuse.is_burnt() {
            return length;
        }
    }
    panic!("the scenario never ends");
}

#[tokio::test]
async fn a_transfer_survives_a_kill_at_every_step() {
    const TO: Address = Address::repeat_byte(0x70);
    let steps = for_every_step(async |fuse| {
        let world = World::new();
        let node = world.node(1).await;
        let token = supported_token(&world, &node, node.address()).await;
        let transfer = TransferRequest {
            token,
            from: node.address(),
            to: TO,
            amount: U256::from(30),
            consent: None,
        };
        let executor = mortal_executor(&world, &node, &fuse);
        let _ = PaymentProcessor::new(executor)
            .transfer(transfer.clone(), key("once"))
            .await;
        // The node starts again, and the client asks again.
        node.look_after_orders();
        node.payments().transfer(transfer, key("once")).await.unwrap();
        assert_eq!(balance(&world, token, TO).await, 30);
        assert_eq!(node.events().await, 1);
    })
    .await;
    assert!(steps > 8, "{steps}");
}

#[tokio::test]
async fn an_accepted_transfer_is_completed_without_anybody_asking_again() {
    const TO: Address = Address::repeat_byte(0x70);
    for_every_step(async |fuse| {
        let world = World::new();
        let node = world.node(1).await;
        world.money.set_coins(node.address(), U256::from(100));
        let transfer = TransferRequest {
            token: NATIVE_TOKEN,
            from: node.address(),
            to: TO,
            amount: U256::from(30),
            consent: None,
        };
        let executor = mortal_executor(&world, &node, &fuse);
        let _ = PaymentProcessor::new(executor).transfer(transfer, None).await;
        node.look_after_orders();
        let accepted = !node.payments().orders(None, 1).await.unwrap().is_empty();
        if accepted {
            eventually("the accepted transfer is completed", async || {
                let page = node.payments().orders(None, 1).await.unwrap();
                let (_, record) = &page[0];
                let done = matches!(record.state, OrderState::Completed { .. });
                (done && record.event_index.is_some()).then_some(())
            })
            .await;
            assert_eq!(node.events().await, 1);
        }
    })
    .await;
}

#[tokio::test]
async fn a_paid_share_survives_a_kill_at_every_step() {
    let steps = for_every_step(async |fuse| {
        let world = World::new();
        let (seller, buyer) = (world.node(1).await, world.node(2).await);
        let token = supported_token(&world, &seller, buyer.address()).await;
        allow(&world, buyer.address(), token, seller.address(), 1000).await;
        let price = ShareTerms {
            payment: Some(PaymentTerms {
                token,
                amount: U256::from(40),
                consent: None,
            }),
            ..terms(buyer.address())
        };
        let executor = mortal_executor(&world, &seller, &fuse);
        let mut ports = seller.ports.clone();
        ports.payments = Some(PaymentProcessor::new(executor));
        let mortal = DataManager::new(&ports, settings()).unwrap();
        let _ = mortal.share_bytes(data(500), price.clone()).await;
        // The node starts again, and the client asks again.
        seller.look_after_orders();
        let shared = eventually("the share is made", async || {
            seller.data.share_bytes(data(500), price.clone()).await.ok()
        })
        .await;
        assert!(shared.payment.is_some());
        assert_eq!(balance(&world, token, seller.address()).await, 40);
        assert_eq!(balance(&world, token, buyer.address()).await, 960);
    })
    .await;
    assert!(steps > 8, "{steps}");
}

#[tokio::test]
async fn an_ordered_share_keeps_its_order_through_a_kill_at_every_step_of_its_payment() {
    for_every_step(async |fuse| {
        let world = World::new();
        let ordered = Ordered::new(&world, true).await;
        let (seller, buyer) = (&ordered.node, world.node(2).await);
        let token = supported_token(&world, seller, buyer.address()).await;
        allow(&world, buyer.address(), token, seller.address(), 1000).await;
        let price = ShareTerms {
            payment: Some(PaymentTerms {
                token,
                amount: U256::from(40),
                consent: None,
            }),
            ..terms(buyer.address())
        };
        let statement = ShareStatement {
            payment: price.payment.as_ref().map(StatedPayment::from),
            ..ordered.statement(DataHash::of(&data(500)), buyer.address())
        };
        let order = Some(ordered.sign(&statement));
        let price = ordered.authorization.admit(order, price).await.unwrap();
        let mut ports = seller.ports.clone();
        ports.authorization = Some(ordered.authorization.clone());
        ports.payments = Some(PaymentProcessor::new(mortal_executor(&world, seller, &fuse)));
        let mortal = DataManager::new(&ports, settings()).unwrap();
        let _ = mortal.share_bytes(data(500), price.clone()).await;
        // The node starts again, and the client asks again.
        seller.look_after_orders();
        let shared = eventually("the share is made", async || {
            ordered.data.share_bytes(data(500), price.clone()).await.ok()
        })
        .await;
        let mandate = ordered.event(shared.leaf_index.unwrap()).await.mandate.unwrap();
        assert_eq!(mandate.statement, statement.canonical().unwrap());
        assert_eq!(balance(&world, token, seller.address()).await, 40);
    })
    .await;
}
