//! What [`SubscriptionCatalog`] promises.

#![allow(missing_docs, reason = "the name of a check is the promise")]

use dm_core::{
    journal::Topics,
    ports::{CatalogError, MAX_DEAD_LETTERS, SubscriptionCatalog},
    subscription::{DeadLetter, EventMatch, Progress, Subscription, SubscriptionId, SubscriptionState},
};

use super::samples::address;

/// Makes a test of each promise of [`SubscriptionCatalog`].
#[macro_export]
macro_rules! subscription_catalog_conformance {
    ($empty:path) => {
        $crate::conformance_tests! { $empty, subscriptions:
            a_subscription_is_kept_as_it_was_given,
            ids_and_names_are_taken_once,
            progress_and_state_are_kept,
            what_was_removed_takes_no_progress,
            what_was_rewound_takes_no_progress_from_before,
            dead_letters_come_in_their_order_and_in_pages,
            of_dead_letters_the_newest_stay,
            a_rewound_subscription_begins_anew,
            a_removed_subscription_leaves_nothing,
        }
    };
}

/// The subscription number `n`.
pub fn subscription(n: u8) -> Subscription {
    Subscription {
        id: SubscriptionId([n; 8]),
        name: format!("subscription {n}"),
        url: format!("https://receiver.example/{n}"),
        topics: Topics::new(["data.*", "token.added"]).unwrap(),
        filter: EventMatch {
            from: Some(address(n)),
            recipient: None,
            labels: [("key".to_owned(), "wert ä".to_owned())].into(),
        },
        sealed_secret: vec![n; 40],
        created_at: 1_700_000_000_000,
        state: SubscriptionState::Active,
        progress: Progress {
            read_to: 7,
            ..Progress::default()
        },
    }
}

fn letter(position: u64) -> DeadLetter {
    DeadLetter {
        position,
        topic: "data.shared".into(),
        attempts: 8,
        failed_at: 1_700_000_000_000 + position,
        reason: format!("no answer to {position}"),
    }
}

fn positions(letters: &[DeadLetter]) -> Vec<u64> {
    letters.iter().map(|letter| letter.position).collect()
}

pub async fn a_subscription_is_kept_as_it_was_given(catalog: &impl SubscriptionCatalog) {
    assert_eq!(catalog.subscriptions().await.unwrap(), []);
    for n in [2, 1] {
        catalog.insert_subscription(&subscription(n)).await.unwrap();
    }
    assert_eq!(
        catalog.subscriptions().await.unwrap(),
        [subscription(2), subscription(1)]
    );
    let one = catalog.subscription(SubscriptionId([1; 8])).await.unwrap();
    assert_eq!(one, Some(subscription(1)));
    assert_eq!(catalog.subscription(SubscriptionId([3; 8])).await.unwrap(), None);
}

pub async fn ids_and_names_are_taken_once(catalog: &impl SubscriptionCatalog) {
    catalog.insert_subscription(&subscription(1)).await.unwrap();
    let (mut same_id, mut same_name) = (subscription(1), subscription(2));
    same_id.name = "another".into();
    same_name.name = subscription(1).name;
    for taken in [same_id, same_name] {
        let refused = catalog.insert_subscription(&taken).await;
        assert!(matches!(refused, Err(CatalogError::Conflict(_))), "{refused:?}");
    }
    assert_eq!(catalog.subscriptions().await.unwrap(), [subscription(1)]);
}

pub async fn progress_and_state_are_kept(catalog: &impl SubscriptionCatalog) {
    let mut kept = subscription(1);
    catalog.insert_subscription(&kept).await.unwrap();
    kept.progress = Progress {
        read_to: 9,
        attempts: 3,
        next_try: 1_700_000_000_001,
        last_error: Some("status 500".into()),
        missed: 4,
    };
    assert!(
        catalog
            .set_progress(kept.id, 7, &kept.progress, None)
            .await
            .unwrap()
    );
    for state in [
        SubscriptionState::Paused,
        SubscriptionState::Ended,
        SubscriptionState::Active,
    ] {
        kept.state = state;
        assert!(catalog.set_subscription_state(kept.id, state).await.unwrap());
        assert_eq!(catalog.subscription(kept.id).await.unwrap(), Some(kept.clone()));
    }
}

pub async fn what_was_removed_takes_no_progress(catalog: &impl SubscriptionCatalog) {
    let id = SubscriptionId([1; 8]);
    let given_up = letter(1);
    assert!(
        !catalog
            .set_progress(id, 0, &Progress::default(), Some(&given_up))
            .await
            .unwrap()
    );
    let paused = SubscriptionState::Paused;
    assert!(!catalog.set_subscription_state(id, paused).await.unwrap());
    assert!(!catalog.rewind(id, 1).await.unwrap());
    assert!(!catalog.remove_subscription(id).await.unwrap());
    assert_eq!(catalog.dead_letters(id, 0, 10).await.unwrap(), []);
}

pub async fn what_was_rewound_takes_no_progress_from_before(catalog: &impl SubscriptionCatalog) {
    let kept = subscription(1);
    catalog.insert_subscription(&kept).await.unwrap();
    assert!(catalog.rewind(kept.id, 3).await.unwrap());
    let late = Progress {
        read_to: 9,
        ..Progress::default()
    };
    let given_up = letter(8);
    let refused = catalog.set_progress(kept.id, 7, &late, Some(&given_up)).await;
    assert!(!refused.unwrap());
    assert_eq!(catalog.dead_letters(kept.id, 0, 10).await.unwrap(), []);
    assert!(catalog.set_progress(kept.id, 3, &late, None).await.unwrap());
}

async fn with_letters(catalog: &impl SubscriptionCatalog, n: u8, positions: impl IntoIterator<Item = u64>) {
    let kept = subscription(n);
    catalog.insert_subscription(&kept).await.unwrap();
    let mut from = kept.progress.read_to;
    for position in positions {
        let progress = Progress {
            read_to: position,
            ..Progress::default()
        };
        catalog
            .set_progress(kept.id, from, &progress, Some(&letter(position)))
            .await
            .unwrap();
        from = position;
    }
}

pub async fn dead_letters_come_in_their_order_and_in_pages(catalog: &impl SubscriptionCatalog) {
    with_letters(catalog, 1, [1, 2, 3]).await;
    with_letters(catalog, 2, [9]).await;
    let id = SubscriptionId([1; 8]);
    let page = catalog.dead_letters(id, 0, 2).await.unwrap();
    assert_eq!(page, [letter(1), letter(2)]);
    assert_eq!(positions(&catalog.dead_letters(id, 2, 2).await.unwrap()), [3]);
}

pub async fn of_dead_letters_the_newest_stay(catalog: &impl SubscriptionCatalog) {
    with_letters(catalog, 1, 1..=MAX_DEAD_LETTERS + 2).await;
    let kept = catalog
        .dead_letters(SubscriptionId([1; 8]), 0, usize::MAX >> 1)
        .await
        .unwrap();
    assert_eq!(positions(&kept), (3..=MAX_DEAD_LETTERS + 2).collect::<Vec<_>>());
}

pub async fn a_rewound_subscription_begins_anew(catalog: &impl SubscriptionCatalog) {
    with_letters(catalog, 1, [1, 2, 3]).await;
    with_letters(catalog, 2, [3]).await;
    let id = SubscriptionId([1; 8]);
    assert!(catalog.rewind(id, 1).await.unwrap());
    let kept = catalog.subscription(id).await.unwrap().unwrap();
    assert_eq!(
        kept.progress,
        Progress {
            read_to: 1,
            ..Progress::default()
        }
    );
    assert_eq!(positions(&catalog.dead_letters(id, 0, 10).await.unwrap()), [1]);
    let other = catalog.dead_letters(SubscriptionId([2; 8]), 0, 10).await.unwrap();
    assert_eq!(positions(&other), [3]);
}

pub async fn a_removed_subscription_leaves_nothing(catalog: &impl SubscriptionCatalog) {
    with_letters(catalog, 1, [1]).await;
    with_letters(catalog, 2, [1]).await;
    let id = SubscriptionId([1; 8]);
    assert!(catalog.remove_subscription(id).await.unwrap());
    assert_eq!(catalog.subscription(id).await.unwrap(), None);
    assert_eq!(catalog.dead_letters(id, 0, 10).await.unwrap(), []);
    let other = catalog.dead_letters(SubscriptionId([2; 8]), 0, 10).await.unwrap();
    assert_eq!(positions(&other), [1]);
}
