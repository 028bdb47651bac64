//! What the engine knows of the bucket: which object a body in it belongs to, and which
//! uploads of bodies have been begun. Entries of the table of counters, changed in the
//! transactions that change what they are about.
//!
//! | key | value |
//! | --- | --- |
//! | `body/` and a body id | the key of the object |
//! | `upload/` and a body id | the id of the multipart upload |

use bytes::Bytes;
use dm_core::{envelope::ObjectId, ports::StoreError};

#[cfg(feature = "s3")]
use super::epochs::Living;
use super::record::{BodyId, record_key};
use crate::{
    commits::transaction::Transaction,
    engine::{Engine, Table, scan_prefix},
};

const BODY: &[u8] = b"body/";
const UPLOAD: &[u8] = b"upload/";

fn key(kind: &[u8], body: BodyId) -> Vec<u8> {
    [kind, &body.to_bytes()].concat()
}

/// A body in the bucket belongs to this object now.
pub(crate) fn put_body(transaction: &mut Transaction<'_>, body: BodyId, id: &ObjectId) {
    transaction.put(Table::Meta, key(BODY, body), body_entry(id));
    transaction.delete(Table::Meta, key(UPLOAD, body));
}

/// Key and value of the entry of a body that belongs to this object.
pub(crate) fn body_key(body: BodyId) -> Vec<u8> {
    key(BODY, body)
}

/// See [`body_key`].
pub(crate) fn body_entry(id: &ObjectId) -> Bytes {
    Bytes::copy_from_slice(&record_key(id))
}

/// A body in the bucket belongs to no object any more.
pub(crate) fn delete_body(transaction: &mut Transaction<'_>, body: BodyId) {
    transaction.delete(Table::Meta, key(BODY, body));
}

/// Whether a body in the bucket belongs to an object.
#[cfg(feature = "s3")]
pub(crate) fn has_body(engine: &dyn Engine, body: BodyId) -> Result<bool, StoreError> {
    Ok(engine.get(Table::Meta, &key(BODY, body))?.is_some())
}

/// Whether any body is in the bucket.
pub(crate) fn has_bodies(engine: &dyn Engine) -> Result<bool, StoreError> {
    Ok(!scan_prefix(engine, Table::Meta, BODY, None, 1)?.is_empty())
}

/// The upload of a body has been begun.
#[cfg(feature = "s3")]
pub(crate) fn put_upload(transaction: &mut Transaction<'_>, body: BodyId, upload: &str) {
    transaction.put(Table::Meta, key(UPLOAD, body), upload.to_owned());
}

/// The upload of a body has been aborted.
#[cfg(feature = "s3")]
pub(crate) fn delete_upload(transaction: &mut Transaction<'_>, body: BodyId) {
    transaction.delete(Table::Meta, key(UPLOAD, body));
}

/// Uploads of bodies of ended epochs among the first `limit` that were begun and not ended.
#[cfg(feature = "s3")]
pub(crate) fn ended_uploads(
    engine: &dyn Engine,
    living: &Living,
    limit: usize,
) -> Result<Vec<(BodyId, String)>, StoreError> {
    let entries = scan_prefix(engine, Table::Meta, UPLOAD, None, limit)?;
    let decoded = entries.into_iter().filter_map(|(key, upload)| {
        let body = BodyId::from_bytes(key.strip_prefix(UPLOAD)?.try_into().ok()?);
        let upload = String::from_utf8(upload.to_vec()).ok()?;
        living.has_ended(body.epoch).then_some((body, upload))
    });
    Ok(decoded.collect())
}
