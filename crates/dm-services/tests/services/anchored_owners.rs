//! Who has anchored a log has something at stake.

use std::sync::Arc;

use dm_core::{
    Address,
    ports::{AnchorRequest, Anchors, OwnerStanding},
};
use dm_services::AnchoredOwners;
use dm_testing::{
    anchors::{MemoryAnchors, ReferenceLog},
    chain::MemoryChain,
};

#[tokio::test]
async fn an_owner_is_established_by_an_anchored_log() {
    let (account, stranger) = (Address::repeat_byte(1), Address::repeat_byte(2));
    let anchors = MemoryAnchors::new(Arc::new(MemoryChain::new(7)), account);
    let owners = AnchoredOwners::new(Arc::new(anchors.clone()));
    assert!(!owners.is_established(stranger).await);
    let request = AnchorRequest {
        previous: None,
        next: ReferenceLog::numbered(3, 1).checkpoint(3),
        consistency_proof: Vec::new(),
    };
    let tx_hash = anchors.submit_anchor(&request).await.unwrap();
    anchors.wait_for_anchor(tx_hash).await.unwrap();
    assert!(owners.is_established(account).await);
    assert!(!owners.is_established(stranger).await);
}
