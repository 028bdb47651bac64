//! What [`ReadableObjects`] promises.

#![allow(missing_docs, reason = "the name of a check is the promise")]

use super::samples::{address, data_hash, readable};
use crate::{
    ports::ReadableObjects,
    share::{ReadableObject, WrappedKey},
};

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
