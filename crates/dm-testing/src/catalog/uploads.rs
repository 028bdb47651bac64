//! What [`UploadCatalog`](dm_core::ports::UploadCatalog) promises.

#![allow(missing_docs, reason = "the name of a check is the promise")]

use dm_core::{
    Address,
    ports::{CatalogError, ErasureCause, Retirement},
    share::NewShare,
    upload::{OpenUploads, Received, UploadId, UploadRecord, UploadStage},
};

use super::{
    UploadLedger,
    samples::{address, data_hash, share, upload},
};

/// Makes a test of each promise of [`UploadCatalog`](dm_core::ports::UploadCatalog).
#[macro_export]
macro_rules! upload_catalog_conformance {
    ($empty:path) => {
        $crate::conformance_tests! { $empty, uploads:
            an_upload_is_kept_as_it_was_given,
            what_has_come_of_an_upload_replaces_what_had_come,
            a_shared_upload_has_no_key_and_changes_no_more,
            a_removed_upload_is_gone,
            whom_an_upload_was_shared_with_is_noted_with_the_share_and_outlives_it,
            expired_and_complete_uploads_are_due,
            a_refused_upload_is_due_only_when_it_expires,
            open_uploads_are_counted_by_key_and_in_all,
            a_version_of_the_nodes_key_that_an_open_upload_needs_is_not_retired,
            no_upload_begins_with_a_retired_version_of_the_nodes_key,
        }
    };
}

fn received(offset: u64, tail: Option<&'static [u8]>) -> Received {
    Received {
        offset,
        tail: tail.map(Into::into),
    }
}

async fn kept(catalog: &impl UploadLedger, n: u8) -> UploadRecord {
    catalog.upload(upload(n).id).await.unwrap().unwrap()
}

pub async fn an_upload_is_kept_as_it_was_given(catalog: &impl UploadLedger) {
    catalog.insert_upload(&upload(1)).await.unwrap();
    assert_eq!(kept(catalog, 1).await, upload(1));
    let again = catalog.insert_upload(&upload(1)).await;
    assert!(matches!(again, Err(CatalogError::Conflict(_))), "{again:?}");
    assert_eq!(catalog.upload(upload(2).id).await.unwrap(), None);
}

pub async fn what_has_come_of_an_upload_replaces_what_had_come(catalog: &impl UploadLedger) {
    catalog.insert_upload(&upload(1)).await.unwrap();
    catalog.insert_upload(&upload(2)).await.unwrap();
    for come in [
        received(7, Some(b"sealed")),
        received(9, None),
        received(11, Some(b"more")),
    ] {
        assert!(catalog.advance_upload(upload(1).id, &come).await.unwrap());
        let UploadStage::Open { received, .. } = kept(catalog, 1).await.stage else {
            panic!("it is open");
        };
        assert_eq!(received, come);
    }
    assert_eq!(kept(catalog, 2).await, upload(2));
    assert!(
        !catalog
            .advance_upload(upload(3).id, &received(1, None))
            .await
            .unwrap()
    );
}

pub async fn a_shared_upload_has_no_key_and_changes_no_more(catalog: &impl UploadLedger) {
    catalog.insert_upload(&upload(1)).await.unwrap();
    let id = upload(1).id;
    catalog
        .advance_upload(id, &received(7, Some(b"sealed")))
        .await
        .unwrap();
    assert!(catalog.close_upload(id, &data_hash(5)).await.unwrap());
    let shared = UploadRecord {
        stage: UploadStage::Shared(data_hash(5)),
        ..upload(1)
    };
    assert_eq!(kept(catalog, 1).await, shared);
    assert_eq!(shared.offset(), shared.length);
    assert!(!catalog.close_upload(id, &data_hash(6)).await.unwrap());
    assert!(!catalog.advance_upload(id, &received(1, None)).await.unwrap());
    assert_eq!(kept(catalog, 1).await, shared);
}

pub async fn a_removed_upload_is_gone(catalog: &impl UploadLedger) {
    catalog.insert_upload(&upload(1)).await.unwrap();
    catalog.insert_upload(&upload(2)).await.unwrap();
    assert!(catalog.remove_upload(upload(1).id).await.unwrap());
    assert!(!catalog.remove_upload(upload(1).id).await.unwrap());
    assert_eq!(catalog.upload(upload(1).id).await.unwrap(), None);
    assert_eq!(kept(catalog, 2).await, upload(2));
}

async fn shared_with(catalog: &impl UploadLedger, n: u8) -> Vec<Address> {
    let noted = catalog.upload_shares(upload(n).id).await.unwrap();
    noted.into_iter().collect()
}

pub async fn whom_an_upload_was_shared_with_is_noted_with_the_share_and_outlives_it(
    catalog: &impl UploadLedger,
) {
    catalog.insert_upload(&upload(1)).await.unwrap();
    catalog.insert_upload(&upload(2)).await.unwrap();
    assert!(shared_with(catalog, 1).await.is_empty());
    let of_upload = |recipient, n| NewShare {
        upload: Some(upload(n).id),
        ..NewShare::from(share(1, recipient))
    };
    // The second one is there already, and so is what it shares of an upload that is not.
    for new in [of_upload(1, 1), of_upload(1, 2), of_upload(2, 3), of_upload(4, 1)] {
        catalog.commit_share(&new).await.unwrap();
    }
    // One that came to nothing.
    catalog.forget_share(&data_hash(1), address(4)).await.unwrap();
    catalog
        .begin_erasure(&data_hash(1), ErasureCause::Ordered)
        .await
        .unwrap();
    let more = [address(1), address(3)];
    for n in [1, 3] {
        catalog
            .note_upload_shares(upload(n).id, &data_hash(1), &more)
            .await
            .unwrap();
    }
    let mut expected = more.to_vec();
    expected.sort_unstable();
    assert_eq!(shared_with(catalog, 1).await, expected);
    assert_eq!(shared_with(catalog, 2).await, [address(1)]);
    assert!(shared_with(catalog, 3).await.is_empty());
    catalog.close_upload(upload(1).id, &data_hash(1)).await.unwrap();
    assert_eq!(shared_with(catalog, 1).await, expected);
    catalog.remove_upload(upload(1).id).await.unwrap();
    assert!(shared_with(catalog, 1).await.is_empty());
    assert_eq!(shared_with(catalog, 2).await, [address(1)]);
}

async fn due(catalog: &impl UploadLedger, now: u64, after: Option<UploadId>, limit: usize) -> Vec<UploadId> {
    catalog.due_uploads(now, after, limit).await.unwrap()
}

pub async fn expired_and_complete_uploads_are_due(catalog: &impl UploadLedger) {
    let ids = [1, 2, 3, 4, 5].map(|n| upload(n).id);
    for n in [3, 1, 5, 2, 4] {
        let expires_at = u64::from(n) * 100;
        let record = UploadRecord {
            expires_at,
            ..upload(n)
        };
        catalog.insert_upload(&record).await.unwrap();
    }
    assert_eq!(due(catalog, 99, None, 9).await, []);
    assert_eq!(due(catalog, 200, None, 9).await, ids[..2]);
    let all = received(upload(4).length, Some(b"sealed"));
    catalog.advance_upload(ids[3], &all).await.unwrap();
    catalog.advance_upload(ids[4], &received(1, None)).await.unwrap();
    catalog.close_upload(ids[1], &data_hash(1)).await.unwrap();
    assert_eq!(due(catalog, 0, None, 9).await, [ids[3]]);
    assert_eq!(due(catalog, 200, None, 2).await, ids[..2]);
    assert_eq!(due(catalog, 200, Some(ids[1]), 2).await, [ids[3]]);
    catalog.close_upload(ids[3], &data_hash(2)).await.unwrap();
    assert_eq!(due(catalog, 500, None, 9).await, ids);
}

pub async fn a_refused_upload_is_due_only_when_it_expires(catalog: &impl UploadLedger) {
    catalog.insert_upload(&upload(1)).await.unwrap();
    let id = upload(1).id;
    catalog
        .advance_upload(id, &received(upload(1).length, None))
        .await
        .unwrap();
    assert!(catalog.refuse_upload(id).await.unwrap());
    assert!(matches!(
        kept(catalog, 1).await.stage,
        UploadStage::Open { refused: true, .. }
    ));
    assert_eq!(due(catalog, 0, None, 9).await, []);
    assert_eq!(due(catalog, upload(1).expires_at, None, 9).await, [id]);
    catalog.close_upload(id, &data_hash(1)).await.unwrap();
    assert!(!catalog.refuse_upload(id).await.unwrap());
}

pub async fn open_uploads_are_counted_by_key_and_in_all(catalog: &impl UploadLedger) {
    let other = UploadRecord {
        key_id: "other".to_owned(),
        length: 10,
        ..upload(2)
    };
    for upload in [&upload(1), &other, &upload(3)] {
        catalog.insert_upload(upload).await.unwrap();
    }
    let counted = |count, bytes| OpenUploads { count, bytes };
    let key_id = upload(1).key_id;
    let length = upload(1).length;
    assert_eq!(
        catalog.open_uploads(Some(&key_id)).await.unwrap(),
        counted(2, 2 * length)
    );
    assert_eq!(catalog.open_uploads(Some("other")).await.unwrap(), counted(1, 10));
    assert_eq!(catalog.open_uploads(Some("nobody")).await.unwrap(), counted(0, 0));
    assert_eq!(
        catalog.open_uploads(None).await.unwrap(),
        counted(3, 2 * length + 10)
    );
    catalog.close_upload(upload(1).id, &data_hash(1)).await.unwrap();
    catalog.remove_upload(upload(3).id).await.unwrap();
    assert_eq!(catalog.open_uploads(None).await.unwrap(), counted(1, 10));
}

pub async fn a_version_of_the_nodes_key_that_an_open_upload_needs_is_not_retired(
    catalog: &impl UploadLedger,
) {
    catalog.insert_upload(&upload(1)).await.unwrap();
    let UploadStage::Open { key, .. } = upload(1).stage else {
        panic!("it is open");
    };
    assert_eq!(catalog.uses().await.unwrap().get(&key.version), Some(&1));
    assert_eq!(catalog.retire(key.version).await.unwrap(), Retirement::Wraps(1));
    catalog.close_upload(upload(1).id, &data_hash(1)).await.unwrap();
    assert!(catalog.uses().await.unwrap().is_empty());
    assert_eq!(catalog.retire(key.version).await.unwrap(), Retirement::Retired);
}

pub async fn no_upload_begins_with_a_retired_version_of_the_nodes_key(catalog: &impl UploadLedger) {
    let UploadStage::Open { key, .. } = upload(1).stage else {
        panic!("it is open");
    };
    catalog.retire(key.version).await.unwrap();
    let refused = catalog.insert_upload(&upload(1)).await;
    assert!(matches!(refused, Err(CatalogError::Conflict(_))), "{refused:?}");
    assert_eq!(catalog.upload(upload(1).id).await.unwrap(), None);
}
