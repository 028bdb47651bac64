//! An order is open until nothing can change any more what was done for it.

use alloy_primitives::{B256, U256};
use dm_core::{
    operation::{Operation, OperationId, Permit, SignatureParts},
    order::{Consent, Order, OrderState, Purpose, TransferOrder},
    ports::{Operations, OrderCatalog},
};

use super::{BUYER, ENDLESS, SELLER, SINK, SUPPLY, World};

/// A transfer of all that the buyer has, with a permit that goes before it.
fn transfer(world: &World) -> Order {
    let permit = Permit {
        owner: BUYER,
        spender: SELLER,
        value: U256::from(SUPPLY),
        deadline: U256::MAX,
        signature: SignatureParts {
            v: 27,
            r: B256::repeat_byte(1),
            s: B256::ZERO,
        },
    };
    Order::Transfer(TransferOrder {
        token: world.token,
        from: BUYER,
        to: SELLER,
        amount: U256::from(SUPPLY),
        consent: Consent::Permit(permit),
    })
}

#[tokio::test]
async fn an_order_that_failed_without_a_transaction_is_open_until_its_permit_is_final() {
    let world = World::new().await;
    let (_, executor) = world.processor(ENDLESS);
    let id = OperationId::random();
    let permit = id.part("permit");
    let placed = executor.carry_out(id, transfer(&world), Purpose::Request, None);
    assert_eq!(
        placed.await.unwrap().state,
        OrderState::Accepted,
        "its permit waits"
    );
    // The buyer spends the money before the permit is mined.
    let spend = Operation::Transfer {
        token: world.token,
        to: SINK,
        amount: U256::from(SUPPLY),
    };
    world.act(BUYER, &spend).await;
    world.money.mine();
    executor.look_after_all().await.unwrap();
    let failed = world.catalog.order(id).await.unwrap().unwrap();
    assert!(
        matches!(failed.state, OrderState::Failed { tx_hash: None, .. }),
        "{failed:?}"
    );

    executor.look_after_all().await.unwrap();
    let open = world.catalog.open_orders(0, 9).await.unwrap();
    assert_eq!(open.len(), 1, "a reorganisation may still take the permit back");
    assert!(world.operations.state(permit).await.unwrap().is_some());

    world.money.finalise();
    executor.look_after_all().await.unwrap();
    assert_eq!(world.catalog.open_orders(0, 9).await.unwrap(), []);
    assert_eq!(
        world.operations.state(permit).await.unwrap(),
        None,
        "nobody needs it any more"
    );
}
