//! The uploads of a [`MemoryCatalog`].

use std::collections::BTreeSet;

use async_trait::async_trait;
use dm_core::{
    Address,
    hash::DataHash,
    ports::{CatalogError, UploadCatalog},
    upload::{OpenUploads, Received, UploadId, UploadRecord, UploadStage},
};

use super::{MemoryCatalog, memory::State};

impl State {
    /// Notes with whom the data of an upload is shared.
    pub(super) fn note_upload_shares(&mut self, id: UploadId, data_hash: &DataHash, recipients: &[Address]) {
        if self.uploads.contains_key(&id) {
            let noted = recipients.iter().map(|recipient| (id, *data_hash, *recipient));
            self.upload_shares.extend(noted);
        }
    }

    /// The stage of an open upload.
    fn open_stage(&mut self, id: UploadId) -> Option<&mut UploadStage> {
        let upload = self.uploads.get_mut(&id)?;
        matches!(upload.stage, UploadStage::Open { .. }).then_some(&mut upload.stage)
    }
}

#[async_trait]
impl UploadCatalog for MemoryCatalog {
    async fn insert_upload(&self, upload: &UploadRecord) -> Result<(), CatalogError> {
        self.write(|state| {
            if state.uploads.contains_key(&upload.id) {
                return Err(CatalogError::Conflict(format!(
                    "there is an upload {}",
                    upload.id
                )));
            }
            if let UploadStage::Open { key, .. } = &upload.stage {
                state.ensure_not_retired(key.version)?;
            }
            state.uploads.insert(upload.id, upload.clone());
            Ok(())
        })
    }

    async fn upload(&self, id: UploadId) -> Result<Option<UploadRecord>, CatalogError> {
        Ok(self.read()?.uploads.get(&id).cloned())
    }

    async fn advance_upload(&self, id: UploadId, advanced: &Received) -> Result<bool, CatalogError> {
        self.write(|state| {
            Ok(match state.open_stage(id) {
                Some(UploadStage::Open { received, .. }) => {
                    *received = advanced.clone();
                    true
                }
                Some(UploadStage::Shared(_)) | None => false,
            })
        })
    }

    async fn refuse_upload(&self, id: UploadId) -> Result<bool, CatalogError> {
        self.write(|state| {
            Ok(match state.open_stage(id) {
                Some(UploadStage::Open { refused, .. }) => {
                    *refused = true;
                    true
                }
                Some(UploadStage::Shared(_)) | None => false,
            })
        })
    }

    async fn close_upload(&self, id: UploadId, data_hash: &DataHash) -> Result<bool, CatalogError> {
        self.write(|state| {
            let stage = state.open_stage(id);
            Ok(stage
                .map(|stage| *stage = UploadStage::Shared(*data_hash))
                .is_some())
        })
    }

    async fn note_upload_shares(
        &self,
        id: UploadId,
        data_hash: &DataHash,
        recipients: &[Address],
    ) -> Result<(), CatalogError> {
        self.write(|state| {
            state.note_upload_shares(id, data_hash, recipients);
            Ok(())
        })
    }

    async fn upload_shares(&self, id: UploadId) -> Result<BTreeSet<Address>, CatalogError> {
        let state = self.read()?;
        let noted = state.upload_shares.iter().filter(|(upload, ..)| *upload == id);
        Ok(noted.map(|(.., recipient)| *recipient).collect())
    }

    async fn remove_upload(&self, id: UploadId) -> Result<bool, CatalogError> {
        self.write(|state| {
            state.upload_shares.retain(|(upload, ..)| *upload != id);
            Ok(state.uploads.remove(&id).is_some())
        })
    }

    async fn due_uploads(
        &self,
        now: u64,
        after: Option<UploadId>,
        limit: usize,
    ) -> Result<Vec<UploadId>, CatalogError> {
        let state = self.read()?;
        let is_due = |upload: &&UploadRecord| {
            let is_complete = matches!(
                &upload.stage,
                UploadStage::Open { received, refused: false, .. } if received.offset == upload.length
            );
            upload.expires_at <= now || is_complete
        };
        let due = state.uploads.values().filter(is_due).map(|upload| upload.id);
        let rest = due.filter(|id| after.is_none_or(|after| *id > after));
        Ok(rest.take(limit).collect())
    }

    async fn open_uploads(&self, key_id: Option<&str>) -> Result<OpenUploads, CatalogError> {
        let state = self.read()?;
        let mut open = OpenUploads::default();
        for upload in state.uploads.values() {
            let counts = key_id.is_none_or(|key_id| upload.key_id == key_id);
            if counts && matches!(upload.stage, UploadStage::Open { .. }) {
                open.count += 1;
                open.bytes += upload.length;
            }
        }
        Ok(open)
    }
}
