//! Whoever looks after an order may be given up while its event waits for its place in the log.

use dm_core::{
    event::EventKind,
    operation::OperationId,
    order::{Consent, Order, Purpose, TransferOrder},
    ports::{EventFilter, EventLog},
};
use dm_testing::waiting::eventually;

use super::{BUYER, ENDLESS, SELLER, SUPPLY, World};

/// More turns of the runtime than any call takes that waits for nothing.
const MANY_TURNS: usize = 1000;

#[tokio::test]
async fn an_order_is_recorded_once_also_where_it_is_given_up_while_its_event_waits() {
    let world = World::new().await;
    let (_, executor) = world.processor(ENDLESS);
    let order = Order::Transfer(TransferOrder {
        token: world.token,
        from: BUYER,
        to: SELLER,
        amount: alloy_primitives::U256::from(SUPPLY),
        consent: Consent::Allowance,
    });
    let placed = executor.carry_out(OperationId::random(), order, Purpose::Request, None);
    placed.await.unwrap();
    world.money.mine();
    world.log.set_held(true);
    let look_after_all = || {
        let executor = executor.clone();
        tokio::spawn(async move { executor.look_after_all().await })
    };

    let given_up = look_after_all();
    eventually("its event waits", async || {
        (world.log.waiting() == 1).then_some(())
    })
    .await;
    given_up.abort();
    let next = look_after_all();
    for _ in 0..MANY_TURNS {
        tokio::task::yield_now().await;
    }
    world.log.set_held(false);
    next.await.unwrap().unwrap();

    let transfers = EventFilter {
        kinds: [EventKind::Transfer].into(),
        ..EventFilter::default()
    };
    let recorded = world.catalog.events(&transfers, None, 9).await.unwrap();
    assert_eq!(recorded.entries.len(), 1, "{recorded:?}");
}
