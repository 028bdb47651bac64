//! What [`KeyUses`](dm_core::ports::KeyUses) promises.

#![allow(missing_docs, reason = "the name of a check is the promise")]

use std::collections::BTreeMap;

use dm_core::{
    ports::{CatalogError, Retirement, Rewrapped},
    share::{ReadableObject, WrappedKey},
};

use super::{
    KeyLedger,
    samples::{address, data_hash, readable},
};

/// Makes a test of each promise of [`KeyUses`](dm_core::ports::KeyUses).
#[macro_export]
macro_rules! key_uses_conformance {
    ($empty:path) => {
        $crate::conformance_tests! { $empty, key_uses:
            what_each_version_wraps_is_counted,
            a_version_that_wraps_something_is_not_retired,
            nothing_is_wrapped_by_a_retired_version,
            a_key_that_was_prepared_counts_like_any_other,
        }
    };
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

pub async fn what_each_version_wraps_is_counted(catalog: &impl KeyLedger) {
    assert_eq!(catalog.uses().await.unwrap(), BTreeMap::new());
    for (n, version) in [(1, 1), (2, 3), (3, 1)] {
        catalog.put_readable(&wrapped(n, version)).await.unwrap();
    }
    assert_eq!(catalog.uses().await.unwrap(), BTreeMap::from([(1, 2), (3, 1)]));
    catalog.remove_readable(&data_hash(2)).await.unwrap();
    assert_eq!(catalog.uses().await.unwrap(), BTreeMap::from([(1, 2)]));
}

pub async fn a_version_that_wraps_something_is_not_retired(catalog: &impl KeyLedger) {
    for n in 1..=2 {
        catalog.put_readable(&wrapped(n, 1)).await.unwrap();
    }
    assert_eq!(catalog.retire(1).await.unwrap(), Retirement::Wraps(2));
    catalog.put_readable(&wrapped(3, 1)).await.unwrap();
    for n in 1..=3 {
        catalog.put_readable(&wrapped(n, 2)).await.unwrap();
    }
    for _ in 0..2 {
        assert_eq!(catalog.retire(1).await.unwrap(), Retirement::Retired);
    }
    assert_eq!(catalog.retire(2).await.unwrap(), Retirement::Wraps(3));
}

pub async fn nothing_is_wrapped_by_a_retired_version(catalog: &impl KeyLedger) {
    catalog.put_readable(&wrapped(1, 2)).await.unwrap();
    assert_eq!(catalog.retire(1).await.unwrap(), Retirement::Retired);
    for late in [wrapped(1, 1), wrapped(2, 1)] {
        let refused = catalog.put_readable(&late).await;
        assert!(matches!(refused, Err(CatalogError::Conflict(_))), "{refused:?}");
    }
    let back = Rewrapped {
        data_hash: data_hash(1),
        old: wrapped(1, 2).key,
        new: wrapped(1, 1).key,
    };
    let refused = catalog.rewrap(vec![back]).await;
    assert!(matches!(refused, Err(CatalogError::Conflict(_))), "{refused:?}");
    assert_eq!(
        catalog.readable(&data_hash(1)).await.unwrap(),
        Some(wrapped(1, 2))
    );
    assert_eq!(catalog.readable(&data_hash(2)).await.unwrap(), None);
    catalog.put_readable(&wrapped(2, 2)).await.unwrap();
}

pub async fn a_key_that_was_prepared_counts_like_any_other(catalog: &impl KeyLedger) {
    catalog.put_readable(&wrapped(1, 2)).await.unwrap();
    let prepared = wrapped(1, 1);
    catalog.prepare_key(&prepared).await.unwrap();
    assert_eq!(catalog.uses().await.unwrap(), BTreeMap::from([(1, 1), (2, 1)]));
    assert_eq!(catalog.retire(1).await.unwrap(), Retirement::Wraps(1));
    let chunks = prepared.chunk_list;
    assert!(catalog.adopt_prepared_key(&data_hash(1), &chunks).await.unwrap());
    assert_eq!(catalog.uses().await.unwrap(), BTreeMap::from([(1, 1)]));
    assert_eq!(catalog.retire(2).await.unwrap(), Retirement::Retired);
    let refused = catalog.prepare_key(&wrapped(1, 2)).await;
    assert!(matches!(refused, Err(CatalogError::Conflict(_))), "{refused:?}");
    assert_eq!(catalog.prepared_key(&data_hash(1)).await.unwrap(), None);
}
