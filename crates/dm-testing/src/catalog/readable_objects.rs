//! What [`ReadableObjects`] promises.

#![allow(missing_docs, reason = "the name of a check is the promise")]

use dm_core::{
    ports::{ReadableObjects, Rewrapped},
    share::{ReadableObject, WrappedKey},
};

use super::samples::{address, data_hash, readable};

/// Makes a test of each promise of [`ReadableObjects`].
#[macro_export]
macro_rules! readable_objects_conformance {
    ($empty:path) => {
        $crate::conformance_tests! { $empty, readable_objects:
            an_entry_is_kept_as_it_was_given,
            a_new_entry_replaces_the_old_one,
            entries_written_at_the_same_time_are_all_kept,
            a_removed_entry_is_gone,
            an_entry_can_come_back,
            keys_of_older_versions_are_found_in_pages,
            a_key_is_wrapped_again_only_where_it_is_still_the_same,
        }
    };
}

pub async fn an_entry_is_kept_as_it_was_given(catalog: &impl ReadableObjects) {
    assert_eq!(catalog.readable(&data_hash(1)).await.unwrap(), None);
    catalog.put_readable(&readable(1, address(1))).await.unwrap();
    // Twice: an adapter may answer the second time from memory.
    for _ in 0..2 {
        assert_eq!(
            catalog.readable(&data_hash(1)).await.unwrap(),
            Some(readable(1, address(1)))
        );
    }
    assert_eq!(catalog.readable(&data_hash(2)).await.unwrap(), None);
    let at = catalog.readable_at(&data_hash(1).locator()).await.unwrap();
    assert_eq!(at, Some(readable(1, address(1))));
    assert_eq!(catalog.readable_at(&data_hash(2).locator()).await.unwrap(), None);
}

pub async fn a_new_entry_replaces_the_old_one(catalog: &impl ReadableObjects) {
    catalog.put_readable(&readable(1, address(1))).await.unwrap();
    assert!(catalog.readable(&data_hash(1)).await.unwrap().is_some());
    let newer = ReadableObject {
        key: WrappedKey {
            version: 4,
            token: "rotated".into(),
        },
        ..readable(1, address(2))
    };
    catalog.put_readable(&newer).await.unwrap();
    assert_eq!(catalog.readable(&data_hash(1)).await.unwrap(), Some(newer));
}

pub async fn entries_written_at_the_same_time_are_all_kept(catalog: &impl ReadableObjects) {
    let objects: Vec<ReadableObject> = (0..150).map(|n| readable(n, address(1))).collect();
    let writes = objects.iter().map(|object| catalog.put_readable(object));
    futures::future::try_join_all(writes).await.unwrap();
    for object in objects {
        assert_eq!(catalog.readable(&object.data_hash).await.unwrap(), Some(object));
    }
}

pub async fn a_removed_entry_is_gone(catalog: &impl ReadableObjects) {
    catalog.put_readable(&readable(1, address(1))).await.unwrap();
    catalog.put_readable(&readable(2, address(1))).await.unwrap();
    assert!(catalog.readable(&data_hash(1)).await.unwrap().is_some());
    assert!(catalog.remove_readable(&data_hash(1)).await.unwrap());
    assert!(!catalog.remove_readable(&data_hash(1)).await.unwrap());
    assert_eq!(catalog.readable(&data_hash(1)).await.unwrap(), None);
    assert!(catalog.readable(&data_hash(2)).await.unwrap().is_some());
}

pub async fn an_entry_can_come_back(catalog: &impl ReadableObjects) {
    let object = readable(1, address(1));
    catalog.put_readable(&object).await.unwrap();
    catalog.remove_readable(&object.data_hash).await.unwrap();
    catalog.put_readable(&object).await.unwrap();
    assert_eq!(catalog.readable(&object.data_hash).await.unwrap(), Some(object));
}

fn wrapped(n: u64, version: u32) -> ReadableObject {
    ReadableObject {
        key: WrappedKey {
            version,
            token: format!("token {n} {version}"),
        },
        ..readable(n, address(1))
    }
}

pub async fn keys_of_older_versions_are_found_in_pages(catalog: &impl ReadableObjects) {
    for (n, version) in [(1, 1), (2, 3), (3, 2), (4, 1)] {
        catalog.put_readable(&wrapped(n, version)).await.unwrap();
    }
    assert_eq!(catalog.wrapped_before(1, None, 9).await.unwrap(), []);
    let older = [wrapped(1, 1), wrapped(3, 2), wrapped(4, 1)];
    assert_eq!(catalog.wrapped_before(3, None, 9).await.unwrap(), older);
    assert_eq!(catalog.wrapped_before(3, None, 2).await.unwrap(), older[..2]);
    let rest = catalog.wrapped_before(3, Some(data_hash(3)), 9).await.unwrap();
    assert_eq!(rest, older[2..]);
    assert_eq!(
        catalog.wrapped_before(3, Some(data_hash(9)), 9).await.unwrap(),
        []
    );
}

pub async fn a_key_is_wrapped_again_only_where_it_is_still_the_same(catalog: &impl ReadableObjects) {
    for n in 1..=2 {
        catalog.put_readable(&wrapped(n, 1)).await.unwrap();
        assert!(catalog.readable(&data_hash(n)).await.unwrap().is_some());
    }
    let again = |n| Rewrapped {
        data_hash: data_hash(n),
        old: wrapped(n, 1).key,
        new: wrapped(n, 2).key,
    };
    catalog.put_readable(&wrapped(2, 5)).await.unwrap();
    catalog.rewrap(vec![again(1), again(2), again(3)]).await.unwrap();
    assert_eq!(
        catalog.readable(&data_hash(1)).await.unwrap(),
        Some(wrapped(1, 2))
    );
    assert_eq!(
        catalog.readable(&data_hash(2)).await.unwrap(),
        Some(wrapped(2, 5))
    );
    assert_eq!(catalog.readable(&data_hash(3)).await.unwrap(), None);
}
