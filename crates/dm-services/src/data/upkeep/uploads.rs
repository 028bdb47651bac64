//! Uploads that are complete and were not shared, because the node was killed or had no
//! room, and those whose time is over.

use async_trait::async_trait;
use dm_core::upload::UploadId;

use super::{
    PAGE,
    due::{Due, DueWork, Work},
};
use crate::{ServiceError, data::uploads::Uploads};

pub(super) struct Uploading(pub(super) Uploads);

impl Uploading {
    /// Deletes what the store has of uploads that are no more.
    pub(super) async fn collect(&self) -> Result<(), ServiceError> {
        self.0.collect().await
    }
}

#[async_trait]
impl DueWork for Uploading {
    const KIND: Work = Work::Uploading;
    type Cursor = UploadId;
    type Item = UploadId;

    async fn page(
        &self,
        after: Option<Self::Cursor>,
    ) -> Result<Vec<Due<Self::Cursor, Self::Item>>, ServiceError> {
        let due = self.0.due(after, PAGE).await?.into_iter().map(|id| Due {
            cursor: id,
            since: None,
            item: id,
        });
        Ok(due.collect())
    }

    async fn handle(&self, id: Self::Item) -> Result<(), ServiceError> {
        self.0.settle(id).await
    }
}
