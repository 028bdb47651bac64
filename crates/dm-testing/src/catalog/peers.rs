//! What [`PeerCatalog`] promises.

#![allow(missing_docs, reason = "the name of a check is the promise")]

use dm_core::{peer::PeerRecord, ports::PeerCatalog};

use super::samples::peer;

/// Makes a test of each promise of [`PeerCatalog`].
#[macro_export]
macro_rules! peer_catalog_conformance {
    ($empty:path) => {
        $crate::conformance_tests! { $empty, peers:
            the_book_is_listed_last_seen_first,
            a_line_is_replaced_by_a_newer_one,
            peers_are_struck_out,
            a_long_book_is_kept_whole,
        }
    };
}

pub async fn the_book_is_listed_last_seen_first(catalog: &impl PeerCatalog) {
    let unmeasured = PeerRecord {
        latency_ms: None,
        addresses: Vec::new(),
        ..peer("a", 10)
    };
    catalog
        .put_peers(&[unmeasured.clone(), peer("b", 30), peer("c", 20)])
        .await
        .unwrap();
    assert_eq!(
        catalog.peers().await.unwrap(),
        [peer("b", 30), peer("c", 20), unmeasured]
    );
}

pub async fn a_line_is_replaced_by_a_newer_one(catalog: &impl PeerCatalog) {
    catalog.put_peers(&[peer("a", 10)]).await.unwrap();
    catalog.put_peers(&[]).await.unwrap();
    let newer = PeerRecord {
        successes: 9,
        ..peer("a", 20)
    };
    catalog.put_peers(std::slice::from_ref(&newer)).await.unwrap();
    assert_eq!(catalog.peers().await.unwrap(), [newer]);
}

pub async fn peers_are_struck_out(catalog: &impl PeerCatalog) {
    catalog
        .put_peers(&[peer("a", 1), peer("b", 2), peer("c", 3)])
        .await
        .unwrap();
    catalog
        .remove_peers(&["a".into(), "c".into(), "unknown".into()])
        .await
        .unwrap();
    assert_eq!(catalog.peers().await.unwrap(), [peer("b", 2)]);
}

pub async fn a_long_book_is_kept_whole(catalog: &impl PeerCatalog) {
    let book: Vec<PeerRecord> = (0..333).rev().map(|n| peer(&format!("peer-{n}"), n)).collect();
    catalog.put_peers(&book).await.unwrap();
    assert_eq!(catalog.peers().await.unwrap(), book);
}
