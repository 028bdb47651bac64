//! What [`TokenCatalog`] promises.

#![allow(missing_docs, reason = "the name of a check is the promise")]

use dm_core::{order::TokenRecord, ports::TokenCatalog};

use super::{order_samples::token, samples::address};

/// Makes a test of each promise of [`TokenCatalog`].
#[macro_export]
macro_rules! token_catalog_conformance {
    ($empty:path) => {
        $crate::conformance_tests! { $empty, tokens:
            a_token_is_kept_as_it_was_given,
            a_token_that_is_there_stays_as_it_is,
            a_token_added_many_times_at_once_is_new_once,
            what_a_token_says_of_itself_can_be_changed_and_nothing_else,
            tokens_are_listed_in_the_order_in_which_they_were_added,
        }
    };
}

pub async fn a_token_is_kept_as_it_was_given(catalog: &impl TokenCatalog) {
    for kept in [token(0), token(1), token(2), token(255)] {
        assert!(catalog.add_token(&kept).await.unwrap());
        assert_eq!(catalog.token(kept.info.address).await.unwrap(), Some(kept));
    }
    assert_eq!(catalog.token(address(9)).await.unwrap(), None);
}

pub async fn a_token_that_is_there_stays_as_it_is(catalog: &impl TokenCatalog) {
    assert!(catalog.add_token(&token(1)).await.unwrap());
    let mut again = TokenRecord {
        issued: !token(1).issued,
        added_at: 5,
        ..token(1)
    };
    again.info.symbol = "OTHER".into();
    assert!(!catalog.add_token(&again).await.unwrap());
    assert_eq!(catalog.token(address(1)).await.unwrap(), Some(token(1)));
    assert_eq!(catalog.tokens().await.unwrap(), [token(1)]);
}

pub async fn a_token_added_many_times_at_once_is_new_once(catalog: &impl TokenCatalog) {
    let wanted = token(1);
    let attempts = (0..20).map(|_| catalog.add_token(&wanted));
    let results = futures::future::join_all(attempts).await;
    assert_eq!(
        results.iter().filter(|is_new| *is_new.as_ref().unwrap()).count(),
        1
    );
}

pub async fn what_a_token_says_of_itself_can_be_changed_and_nothing_else(catalog: &impl TokenCatalog) {
    for kept in [token(2), token(1)] {
        catalog.add_token(&kept).await.unwrap();
    }
    let mut changed = token(2);
    changed.info.symbol = "NEW".into();
    changed.info.name = "New name".into();
    changed.info.decimals = 6;
    assert!(catalog.update_token(&changed.info).await.unwrap());
    assert_eq!(catalog.tokens().await.unwrap(), [changed, token(1)]);
    assert!(!catalog.update_token(&token(3).info).await.unwrap());
    assert_eq!(catalog.token(address(3)).await.unwrap(), None);
}

pub async fn tokens_are_listed_in_the_order_in_which_they_were_added(catalog: &impl TokenCatalog) {
    assert_eq!(catalog.tokens().await.unwrap(), []);
    let added = [token(3), token(1), token(2)];
    for kept in &added {
        catalog.add_token(kept).await.unwrap();
    }
    assert_eq!(catalog.tokens().await.unwrap(), added);
}
