//! What transfers and tokens promise, on in-memory ports.

use dm_core::{
    Address, U256,
    event::EventKind,
    idempotency::IdempotencyKey,
    operation::{Operation, OperationId},
    order::{Consent, Order, OrderRecord, OrderState, Purpose, TransferOrder, Tries},
    ports::{ComplianceLog, EventFilter, Operations, OrderCatalog, Tokens},
};
use dm_services::{NewToken, ServiceError, TransferRequest};
use dm_testing::money::Habit;

use crate::support::{TestNode, World, eventually};

pub(crate) fn key(text: &str) -> Option<IdempotencyKey> {
    Some(IdempotencyKey {
        client: "client".to_owned(),
        key: text.to_owned(),
    })
}

pub(crate) fn request(token: Address, from: Address, to: Address, amount: u64) -> TransferRequest {
    TransferRequest {
        token,
        from,
        to,
        amount: U256::from(amount),
        consent: None,
    }
}

/// A token that the node supports, all of which `owner` has.
pub(crate) async fn supported_token(world: &World, node: &TestNode, owner: Address) -> Address {
    let token = world.money.issue(owner, "DATA", 1000);
    node.tokens().add(token, None).await.unwrap();
    token
}

pub(crate) async fn balance(world: &World, token: Address, account: Address) -> u64 {
    world.money.balance_of(token, account).await.unwrap().to()
}

/// Lets an account allow the node to take tokens.
pub(crate) async fn allow(world: &World, owner: Address, token: Address, spender: Address, amount: u64) {
    let approve = Operation::Approve {
        token,
        spender,
        amount: U256::from(amount),
    };
    let operations = world.money.operations(owner);
    operations.begin(OperationId::random(), &approve).await.unwrap();
}

pub(crate) fn is_completed(record: &OrderRecord) -> bool {
    matches!(record.state, OrderState::Completed { .. })
}

pub(crate) const TO: Address = Address::repeat_byte(0x70);
pub(crate) const OTHER: Address = Address::repeat_byte(0x71);

#[tokio::test]
async fn the_operator_pays_from_its_own_account_and_the_log_says_so() {
    let world = World::new();
    let node = world.node(1).await;
    let token = supported_token(&world, &node, node.address()).await;
    let moved = node
        .payments()
        .transfer(request(token, node.address(), TO, 30), None)
        .await
        .unwrap();
    assert!(is_completed(&moved), "{moved:?}");
    assert_eq!(balance(&world, token, TO).await, 30);
    let filter = EventFilter {
        kinds: [EventKind::Transfer].into(),
        ..EventFilter::default()
    };
    let recorded = node.log.find(&filter).await.unwrap().unwrap();
    let details = &recorded.event.details;
    assert_eq!(recorded.event.recipient, Some(TO));
    assert_eq!(details["from"], node.address().to_string());
    assert_eq!(details["amount"], "30");
    assert_eq!(details["tx_hash"], moved.state.tx_hash().unwrap().to_string());
    assert_eq!(node.told("token.transfer_completed").await.len(), 1);
}

#[tokio::test]
async fn a_repeated_request_is_one_transfer() {
    let world = World::new();
    let node = world.node(1).await;
    let token = supported_token(&world, &node, node.address()).await;
    let transfer = request(token, node.address(), TO, 30);
    let first = node
        .payments()
        .transfer(transfer.clone(), key("a"))
        .await
        .unwrap();
    let again = node
        .payments()
        .transfer(transfer.clone(), key("a"))
        .await
        .unwrap();
    assert_eq!((first.id, &first.state), (again.id, &again.state));
    let other = TransferRequest {
        amount: U256::from(31),
        ..transfer
    };
    let reused = node.payments().transfer(other, key("a")).await;
    assert!(
        matches!(reused, Err(ServiceError::IdempotencyKeyReused)),
        "{reused:?}"
    );
    assert_eq!(balance(&world, token, TO).await, 30);
}

#[tokio::test]
async fn a_transfer_that_takes_long_is_completed_in_the_background() {
    let world = World::new();
    let node = world.node(1).await;
    let token = supported_token(&world, &node, node.address()).await;
    world.money.set_mining(false);
    let sent = node
        .payments()
        .transfer(request(token, node.address(), TO, 30), None)
        .await
        .unwrap();
    assert!(matches!(sent.state, OrderState::Sent { .. }), "{sent:?}");
    node.look_after_orders();
    world.money.mine();
    eventually("the transfer is completed and recorded", async || {
        let page = node.payments().orders(None, 10).await.unwrap();
        page.iter()
            .any(|(_, record)| is_completed(record) && record.event_index.is_some())
            .then_some(())
    })
    .await;
    assert_eq!(node.events().await, 1);
}

#[tokio::test]
async fn a_token_that_lies_or_fails_moves_nothing_and_is_told() {
    let world = World::new();
    let node = world.node(1).await;
    let token = supported_token(&world, &node, node.address()).await;
    world.money.change(token, |token| token.habit = Habit::Lies);
    let lied = node
        .payments()
        .transfer(request(token, node.address(), TO, 30), None)
        .await
        .unwrap();
    let OrderState::Failed { reason, .. } = lied.state else {
        panic!("{lied:?}");
    };
    assert!(reason.contains("moved nothing"), "{reason}");
    world.money.change(token, |token| token.habit = Habit::Reverts);
    let failed = node
        .payments()
        .transfer(request(token, node.address(), TO, 30), None)
        .await;
    assert!(
        matches!(failed, Err(ServiceError::TransactionFailed(_))),
        "{failed:?}"
    );
    assert_eq!(node.events().await, 0);
}

#[tokio::test]
async fn a_transfer_that_the_chain_refuses_for_good_fails_with_the_reason_and_is_closed() {
    let world = World::new();
    let node = world.node(1).await;
    let token = supported_token(&world, &node, node.address()).await;
    world.money.set_giving_up(Some("too much gas"));
    let refused = node
        .payments()
        .transfer(request(token, node.address(), TO, 30), None)
        .await
        .unwrap();
    let OrderState::Failed { reason, .. } = &refused.state else {
        panic!("{refused:?}");
    };
    assert!(reason.contains("too much gas"), "{reason}");
    node.look_after_orders();
    eventually("nothing is left to do for it", async || {
        let open = node.catalog.open_orders(0, 10).await.unwrap();
        open.is_empty().then_some(())
    })
    .await;
    // The chain keeps nothing of it either.
    let operations = world.money.operations(node.address());
    assert_eq!(operations.state(refused.id).await, Ok(None));
    world.money.set_giving_up(None);
    let moved = node
        .payments()
        .transfer(request(token, node.address(), TO, 30), None)
        .await
        .unwrap();
    assert!(is_completed(&moved), "{moved:?}");
    assert_eq!(balance(&world, token, TO).await, 30);
}

#[tokio::test]
async fn an_issued_token_is_supported_and_minted_by_its_issuer_alone() {
    let world = World::new();
    let (node, other) = (world.node(1).await, world.node(2).await);
    let new = NewToken {
        name: "Data credit".to_owned(),
        symbol: "CREDIT".to_owned(),
        decimals: 6,
        initial_supply: U256::from(500),
    };
    let issued = node.tokens().issue(new.clone(), key("i")).await.unwrap();
    let again = node.tokens().issue(new.clone(), key("i")).await.unwrap();
    assert_eq!(issued.state, again.state);
    let OrderState::Completed {
        contract: Some(token),
        ..
    } = issued.state
    else {
        panic!("{issued:?}");
    };
    assert_eq!(node.tokens().tokens().await.unwrap()[1].symbol, "CREDIT");
    assert_eq!(
        node.tokens().balance(node.address(), token).await.unwrap(),
        U256::from(500)
    );
    assert!(is_completed(
        &node.tokens().mint(token, TO, U256::from(7), None).await.unwrap()
    ));
    assert_eq!(balance(&world, token, TO).await, 7);
    other.tokens().add(token, None).await.unwrap();
    let refused = other.tokens().mint(token, TO, U256::from(7), None).await;
    assert!(
        matches!(refused, Err(ServiceError::Rejected { field: "token", .. })),
        "{refused:?}"
    );
    let nameless = NewToken {
        name: " ".to_owned(),
        ..new
    };
    assert!(matches!(
        node.tokens().issue(nameless, None).await,
        Err(ServiceError::Invalid { field: "name", .. })
    ));
}

#[tokio::test]
async fn what_is_no_token_is_not_supported() {
    let world = World::new();
    let node = world.node(1).await;
    let nothing = node.tokens().add(OTHER, None).await;
    assert!(
        matches!(nothing, Err(ServiceError::Rejected { field: "address", .. })),
        "{nothing:?}"
    );
    let unknown = world.money.issue(node.address(), "NEW", 5);
    for refused in [
        node.payments()
            .transfer(request(unknown, node.address(), TO, 1), None)
            .await
            .err(),
        node.tokens().balance(TO, unknown).await.err(),
    ] {
        assert!(
            matches!(refused, Some(ServiceError::Rejected { field: "token", .. })),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_transfer_that_a_reorganisation_took_back_is_made_again_and_recorded_once() {
    let world = World::new();
    let node = world.node(1).await;
    let token = supported_token(&world, &node, node.address()).await;
    let moved = node
        .payments()
        .transfer(request(token, node.address(), TO, 30), None)
        .await
        .unwrap();
    world.money.set_mining(false);
    world.money.reorganise(node.address(), moved.id);
    assert_eq!(balance(&world, token, TO).await, 0);
    node.look_after_orders();
    eventually("the order waits again", async || {
        let page = node.payments().orders(None, 1).await.unwrap();
        matches!(page[0].1.state, OrderState::Sent { .. }).then_some(())
    })
    .await;
    world.money.mine();
    eventually("it is done again", async || {
        let page = node.payments().orders(None, 1).await.unwrap();
        is_completed(&page[0].1).then_some(())
    })
    .await;
    assert_eq!(balance(&world, token, TO).await, 30);
    assert_eq!(node.events().await, 1);
}

#[tokio::test]
async fn orders_are_listed_newest_first() {
    let world = World::new();
    let node = world.node(1).await;
    let token = supported_token(&world, &node, node.address()).await;
    for amount in 1..=5 {
        node.payments()
            .transfer(request(token, node.address(), TO, amount), None)
            .await
            .unwrap();
    }
    let amounts = |page: &[(u64, OrderRecord)]| -> Vec<u64> {
        page.iter()
            .map(|(_, record)| match &record.order {
                Order::Transfer(transfer) => transfer.amount.to(),
                other => panic!("{other:?}"),
            })
            .collect()
    };
    let first = node.payments().orders(None, 3).await.unwrap();
    assert_eq!(amounts(&first), [5, 4, 3]);
    let rest = node.payments().orders(Some(first[2].0), 3).await.unwrap();
    assert_eq!(amounts(&rest), [2, 1]);
}

#[tokio::test]
async fn an_order_is_not_paid_by_the_account_that_came_after() {
    let world = World::new();
    let node = world.node(1).await;
    let token = supported_token(&world, &node, node.address()).await;
    let former = Address::repeat_byte(0x72);
    let order = OrderRecord {
        id: OperationId::random(),
        order: Order::Transfer(TransferOrder {
            token,
            from: former,
            to: TO,
            amount: U256::from(30),
            consent: Consent::Own,
        }),
        purpose: Purpose::Request,
        idempotency_key: None,
        created_at: 1,
        state: OrderState::Accepted,
        tries: Tries::default(),
        event_index: None,
    };
    node.catalog.insert_order(&order).await.unwrap();
    node.look_after_orders();
    let failed = eventually("the order fails", async || {
        let order = node.catalog.order(order.id).await.unwrap().unwrap();
        matches!(order.state, OrderState::Failed { .. }).then_some(order)
    })
    .await;
    assert_eq!(failed.state.tx_hash(), None);
    assert_eq!(balance(&world, token, TO).await, 0);
}
