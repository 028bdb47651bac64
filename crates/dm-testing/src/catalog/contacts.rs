//! What [`ContactBook`] promises.

#![allow(missing_docs, reason = "the name of a check is the promise")]

use dm_core::{
    Address,
    contact::{Contact, ContactName, RecordChange, Trust},
    ports::{CatalogError, ContactBook},
};

use super::samples::{contact, seen_record};

/// Makes a test of each promise of [`ContactBook`].
#[macro_export]
macro_rules! contact_book_conformance {
    ($empty:path) => {
        $crate::conformance_tests! { $empty, contacts:
            a_contact_is_kept_as_it_was_given,
            a_contact_takes_the_place_of_the_one_with_its_name,
            an_address_has_one_name,
            contacts_are_listed_in_pages_in_the_order_of_their_names,
            a_removed_contact_is_gone_and_its_name_and_address_are_free,
        }
    };
}

fn name(text: &str) -> ContactName {
    text.parse().unwrap()
}

pub async fn a_contact_is_kept_as_it_was_given(catalog: &impl ContactBook) {
    let plain = contact("plain", 1);
    let whole = Contact {
        trust: Trust::Block,
        note: Some("näher \"bekannt\"".to_owned()),
        confirmed: Some(seen_record(1)),
        changed: Some(RecordChange {
            at: 7,
            record: seen_record(2),
        }),
        ..contact("whole", 2)
    };
    for kept in [&plain, &whole] {
        catalog.put_contact(kept).await.unwrap();
        assert_eq!(catalog.contact(&kept.name).await.unwrap().as_ref(), Some(kept));
        assert_eq!(
            catalog.contact_at(kept.address).await.unwrap().as_ref(),
            Some(kept)
        );
    }
    assert_eq!(catalog.contact(&name("nobody")).await.unwrap(), None);
    assert_eq!(catalog.contact_at(Address::ZERO).await.unwrap(), None);
    assert_eq!(catalog.count_contacts().await.unwrap(), 2);
}

pub async fn a_contact_takes_the_place_of_the_one_with_its_name(catalog: &impl ContactBook) {
    catalog.put_contact(&contact("acme", 1)).await.unwrap();
    let moved = contact("acme", 2);
    catalog.put_contact(&moved).await.unwrap();
    assert_eq!(catalog.contacts(None, 9).await.unwrap(), [moved]);
    assert_eq!(
        catalog.contact_at(contact("acme", 1).address).await.unwrap(),
        None
    );
    // The address that it had is free.
    catalog.put_contact(&contact("other", 1)).await.unwrap();
    assert_eq!(catalog.count_contacts().await.unwrap(), 2);
}

pub async fn an_address_has_one_name(catalog: &impl ContactBook) {
    let first = contact("acme", 1);
    catalog.put_contact(&first).await.unwrap();
    let second = catalog.put_contact(&contact("other", 1)).await;
    assert!(matches!(second, Err(CatalogError::Conflict(_))), "{second:?}");
    // Nor does it take the place of one that there is.
    catalog.put_contact(&contact("other", 2)).await.unwrap();
    let taken = catalog.put_contact(&contact("other", 1)).await;
    assert!(matches!(taken, Err(CatalogError::Conflict(_))), "{taken:?}");
    assert_eq!(
        catalog.contacts(None, 9).await.unwrap(),
        [first, contact("other", 2)]
    );
}

pub async fn contacts_are_listed_in_pages_in_the_order_of_their_names(catalog: &impl ContactBook) {
    let names = ["b", "a.x", "a", "c-1", "a_x", "ab"];
    for (n, name) in (1..).zip(names) {
        catalog.put_contact(&contact(name, n)).await.unwrap();
    }
    let listed = |page: Vec<Contact>| -> Vec<String> {
        page.into_iter().map(|contact| contact.name.to_string()).collect()
    };
    let first = catalog.contacts(None, 4).await.unwrap();
    assert_eq!(listed(first), ["a", "a.x", "a_x", "ab"]);
    let rest = catalog.contacts(Some(&name("ab")), 4).await.unwrap();
    assert_eq!(listed(rest), ["b", "c-1"]);
    let between = catalog.contacts(Some(&name("aa")), 1).await.unwrap();
    assert_eq!(listed(between), ["ab"]);
}

pub async fn a_removed_contact_is_gone_and_its_name_and_address_are_free(catalog: &impl ContactBook) {
    catalog.put_contact(&contact("acme", 1)).await.unwrap();
    assert!(catalog.remove_contact(&name("acme")).await.unwrap());
    assert!(!catalog.remove_contact(&name("acme")).await.unwrap());
    assert_eq!(catalog.count_contacts().await.unwrap(), 0);
    assert_eq!(
        catalog.contact_at(contact("acme", 1).address).await.unwrap(),
        None
    );
    catalog.put_contact(&contact("acme", 2)).await.unwrap();
    catalog.put_contact(&contact("other", 1)).await.unwrap();
    assert_eq!(catalog.count_contacts().await.unwrap(), 2);
}
