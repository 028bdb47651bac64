//! What [`AuthorizedUsers`] promises.

#![allow(missing_docs, reason = "the name of a check is the promise")]

use dm_core::{
    ports::{AuthorizedUsers, CatalogError},
    user::{AuthorizedUser, KeyKind},
};

use super::samples::user;

/// Makes a test of each promise of [`AuthorizedUsers`].
#[macro_export]
macro_rules! authorized_users_conformance {
    ($empty:path) => {
        $crate::conformance_tests! { $empty, users:
            a_user_is_kept_as_it_was_given,
            the_id_of_a_user_is_taken_once,
            users_are_listed_in_pages_in_the_order_of_their_ids,
            a_removed_user_is_gone_and_its_id_is_free,
        }
    };
}

pub async fn a_user_is_kept_as_it_was_given(catalog: &impl AuthorizedUsers) {
    for (n, kind) in KeyKind::ALL.into_iter().enumerate() {
        let kept = AuthorizedUser {
            kind,
            ..user(&format!("User_{n}.x-y"), n as u64)
        };
        catalog.insert_user(&kept).await.unwrap();
        assert_eq!(catalog.user(&kept.id).await.unwrap(), Some(kept));
    }
    assert_eq!(catalog.user(&user("nobody", 1).id).await.unwrap(), None);
    let other_case = user("user_0.x-y", 1).id;
    assert_eq!(catalog.user(&other_case).await.unwrap(), None);
}

pub async fn the_id_of_a_user_is_taken_once(catalog: &impl AuthorizedUsers) {
    catalog.insert_user(&user("a", 1)).await.unwrap();
    let second = catalog.insert_user(&user("a", 2)).await;
    assert!(matches!(second, Err(CatalogError::Conflict(_))), "{second:?}");
    assert_eq!(catalog.users(None, 9).await.unwrap(), [user("a", 1)]);
}

pub async fn users_are_listed_in_pages_in_the_order_of_their_ids(catalog: &impl AuthorizedUsers) {
    for id in ["b", "_", "a", "B", "1", "ab"] {
        catalog.insert_user(&user(id, 1)).await.unwrap();
    }
    let first = catalog.users(None, 4).await.unwrap();
    assert_eq!(first, ["1", "B", "_", "a"].map(|id| user(id, 1)));
    let rest = catalog.users(Some(&first[3].id), 4).await.unwrap();
    assert_eq!(rest, ["ab", "b"].map(|id| user(id, 1)));
    let between = catalog.users(Some(&user("aa", 1).id), 1).await.unwrap();
    assert_eq!(between, [user("ab", 1)]);
}

pub async fn a_removed_user_is_gone_and_its_id_is_free(catalog: &impl AuthorizedUsers) {
    for id in ["a", "b"] {
        catalog.insert_user(&user(id, 1)).await.unwrap();
    }
    let id = user("a", 1).id;
    assert!(catalog.remove_user(&id).await.unwrap());
    assert!(!catalog.remove_user(&id).await.unwrap());
    assert_eq!(catalog.users(None, 9).await.unwrap(), [user("b", 1)]);
    catalog.insert_user(&user("a", 2)).await.unwrap();
    assert_eq!(catalog.user(&id).await.unwrap(), Some(user("a", 2)));
}
