use std::collections::BTreeSet;

use alloy_primitives::Address;
use async_trait::async_trait;

use super::{CatalogError, ObjectWriter, StoreError};
use crate::{
    envelope::Chunk,
    hash::DataHash,
    upload::{OpenUploads, Received, UploadId, UploadRecord},
};

/// Keeps uploads that resume, and how far they are.
#[async_trait]
pub trait UploadCatalog: Send + Sync {
    /// Keeps a new upload; durable when it returns.
    ///
    /// # Errors
    /// [`CatalogError::Conflict`] where its id is taken, or where its content key is wrapped
    /// by a version that was retired.
    async fn insert_upload(&self, upload: &UploadRecord) -> Result<(), CatalogError>;

    /// The upload with this id.
    async fn upload(&self, id: UploadId) -> Result<Option<UploadRecord>, CatalogError>;

    /// Notes what has come of an open upload; durable when it returns. Whether there is
    /// such an upload.
    async fn advance_upload(&self, id: UploadId, received: &Received) -> Result<bool, CatalogError>;

    /// Notes that the share of an open upload was refused. Whether there is such an upload.
    async fn refuse_upload(&self, id: UploadId) -> Result<bool, CatalogError>;

    /// Notes that the data of an open upload is shared, and forgets its key. Whether there
    /// is such an upload.
    async fn close_upload(&self, id: UploadId, data_hash: &DataHash) -> Result<bool, CatalogError>;

    /// Notes that this data, which came in an upload, is shared with these recipients. A share
    /// that [`commit_share`](super::ShareCatalog::commit_share) makes of an upload is noted by
    /// that, and no more once [`forget_share`](super::ShareCatalog::forget_share) has taken it
    /// back. Nothing happens where there is no such upload.
    async fn note_upload_shares(
        &self,
        id: UploadId,
        data_hash: &DataHash,
        recipients: &[Address],
    ) -> Result<(), CatalogError>;

    /// With whom the data of an upload was shared, whatever has become of the shares since.
    async fn upload_shares(&self, id: UploadId) -> Result<BTreeSet<Address>, CatalogError>;

    /// Forgets an upload; whether there was one.
    async fn remove_upload(&self, id: UploadId) -> Result<bool, CatalogError>;

    /// At most `limit` uploads, in the order of their ids, after `after`, of which something
    /// is to be done: those that have expired at `now` (milliseconds since the Unix epoch),
    /// and open ones of which all has come and whose share was not refused.
    async fn due_uploads(
        &self,
        now: u64,
        after: Option<UploadId>,
        limit: usize,
    ) -> Result<Vec<UploadId>, CatalogError>;

    /// The open uploads of one API key, or all of them.
    async fn open_uploads(&self, key_id: Option<&str>) -> Result<OpenUploads, CatalogError>;
}

/// Keeps the chunks of objects that come in parts, by the name of their upload: nobody
/// knows yet which object they become. One writer at a time for each; the caller sees to it.
#[async_trait]
pub trait UnfinishedObjects: Send + Sync {
    /// Goes on with an object behind its first `chunks` chunks. These are read, checked and
    /// appended by the caller first, which writes nothing; what was written behind them
    /// counts for nothing.
    async fn go_on(&self, id: UploadId, chunks: u64) -> Result<Box<dyn UnfinishedWriter>, StoreError>;

    /// The chunk at `index`.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where there is none, and [`StoreError::Corrupt`] where its
    /// bytes do not have its name.
    async fn unfinished_chunk(&self, id: UploadId, index: u64) -> Result<Chunk, StoreError>;

    /// Deletes what there is of an object. One that it became stays.
    async fn forget_unfinished(&self, id: UploadId) -> Result<(), StoreError>;

    /// All names under which something is kept.
    async fn list_unfinished(&self) -> Result<Vec<UploadId>, StoreError>;
}

/// Takes the chunks of an object that comes in parts. They stay where they are when it is
/// dropped, and also when the object is finished, until they are forgotten: an object whose
/// share fails can be finished again. All chunks but the last are full.
#[async_trait]
pub trait UnfinishedWriter: ObjectWriter {
    /// Makes all chunks durable that were appended.
    async fn sync(&mut self) -> Result<(), StoreError>;

    /// Goes back to where the writer was when it was last synced: what was appended since
    /// then counts for nothing.
    async fn rewind(&mut self) -> Result<(), StoreError>;
}
