//! What is shared again after its end is acknowledged again, once.

use dm_core::{
    acknowledgement::Acknowledgement,
    config::{Accept, Acknowledge},
    event::EventKind,
    inbox::{InboxItem, ItemState},
    ports::{InboxCatalog, SentCatalog},
    sent::SentState,
};
use dm_services::ServiceError;

use crate::{
    acknowledging::{Shared, events, newest, read, recorded, signed},
    inboxes::{arrival, inbox_of},
    support::{data, deliveries_of, eventually, terms},
};

/// The reader's item, once it has this state.
async fn item(shared: &Shared, state: ItemState) -> InboxItem {
    let catalog = &shared.reader.catalog;
    catalog.note_arrivals(&[arrival(shared.object())]).await.unwrap();
    eventually(&format!("the item is {state:?}"), async || {
        let item = catalog.inbox_item(&shared.object()).await.unwrap();
        item.filter(|item| item.state == state)
    })
    .await
}

/// Withdraws the reader's access and shares the data with it again, or does so with all.
async fn share_again(shared: &Shared, is_erased: bool) {
    let (manager, reader) = (&shared.owner.data, shared.reader.address());
    match is_erased {
        true => drop(manager.erase(&shared.hash).await.unwrap()),
        false => drop(manager.revoke(&shared.hash, reader).await.unwrap()),
    }
    manager.share_bytes(data(700), terms(reader)).await.unwrap();
}

/// Where the newest share with the reader stands at its owner.
async fn standing(shared: &Shared) -> SentState {
    let (catalog, reader) = (&shared.owner.catalog, shared.reader.address());
    let newest = catalog.sent_share(&shared.hash, reader).await.unwrap();
    newest.unwrap().state
}

#[tokio::test]
async fn a_share_made_again_after_its_end_is_acknowledged_again() {
    for is_erased in [false, true] {
        let shared = Shared::new().await;
        let (owner, reader) = (&shared.owner, &shared.reader);
        let inbox = inbox_of(reader, Accept::Anyone, None);
        item(&shared, ItemState::New).await;
        let deliveries = deliveries_of(reader, Acknowledge::OnFetch);
        read(reader, &shared.hash, &deliveries).await;
        let first = recorded(reader, &shared.object(), reader.address()).await;
        assert!(shared.told.arrived(first.statement.clone()).await.unwrap());
        shared.delivered().await;
        assert_eq!(standing(&shared).await, SentState::Acknowledged);

        share_again(&shared, is_erased).await;
        assert_eq!(standing(&shared).await, SentState::Shared);
        // What is repeated speaks of the earlier share.
        assert!(shared.told.arrived(first.statement.clone()).await.unwrap());
        for _ in 0..2 {
            read(reader, &shared.hash, &deliveries).await;
        }
        let second = eventually("the second share is acknowledged", async || {
            let own = recorded(reader, &shared.object(), reader.address()).await;
            (own.statement != first.statement).then_some(own)
        })
        .await;
        item(&shared, ItemState::Acknowledged).await;
        assert!(second.statement.sequence > first.statement.sequence);
        assert_eq!(inbox.acknowledge(&shared.hash).await.unwrap(), second);
        for statement in [&second, &second, &first].map(|delivery| delivery.statement.clone()) {
            assert!(shared.told.arrived(statement).await.unwrap());
        }
        eventually("the second share is acknowledged at its owner", async || {
            (standing(&shared).await == SentState::Acknowledged).then_some(())
        })
        .await;
        assert_eq!(shared.delivered().await.statement, second.statement);
        // Nobody has the owner record more than it shares.
        let more = Acknowledgement {
            sequence: second.statement.sequence + 1,
            ..shared.statement(2)
        };
        owner
            .data
            .grant(&shared.hash, terms(shared.further.address()))
            .await
            .unwrap();
        assert!(newest(owner, &shared.hash).await >= more.sequence);
        assert!(shared.told.arrived(signed(more, 2)).await.unwrap());
        assert_eq!(shared.delivered().await.statement, second.statement);
        assert_eq!(events(owner, EventKind::Delivery).await, 2);
        assert_eq!(events(reader, EventKind::Acknowledgement).await, 2);
    }
}

#[tokio::test]
async fn a_share_made_again_is_acknowledged_on_request_once_it_was_fetched_again() {
    let shared = Shared::new().await;
    let reader = &shared.reader;
    let inbox = inbox_of(reader, Accept::Anyone, None);
    item(&shared, ItemState::New).await;
    reader.read(&shared.hash).await.unwrap();
    let first = inbox.acknowledge(&shared.hash).await.unwrap();
    let manager = &shared.owner.data;
    manager.revoke(&shared.hash, reader.address()).await.unwrap();
    item(&shared, ItemState::Revoked).await;
    assert_eq!(inbox.acknowledge(&shared.hash).await.unwrap(), first);
    let again = manager.share_bytes(data(700), terms(reader.address()));
    again.await.unwrap();
    item(&shared, ItemState::New).await;
    let early = inbox.acknowledge(&shared.hash).await;
    assert!(matches!(early, Err(ServiceError::NotFetched)), "{early:?}");
    reader.read(&shared.hash).await.unwrap();
    item(&shared, ItemState::Fetched).await;
    let second = inbox.acknowledge(&shared.hash).await.unwrap();
    assert!(second.statement.sequence > first.statement.sequence);
    assert_eq!(inbox.acknowledge(&shared.hash).await.unwrap(), second);
    assert_eq!(events(reader, EventKind::Acknowledgement).await, 2);
}

#[tokio::test]
async fn an_acknowledgement_of_an_earlier_share_counts_for_the_next_one() {
    let shared = Shared::new().await;
    let late = signed(shared.statement(2), 2);
    share_again(&shared, false).await;
    assert!(newest(&shared.owner, &shared.hash).await > late.sequence);
    assert!(shared.told.arrived(late.clone()).await.unwrap());
    assert_eq!(shared.delivered().await.statement, late);
    assert_eq!(standing(&shared).await, SentState::Acknowledged);
}
