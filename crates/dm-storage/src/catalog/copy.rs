//! A copy of the catalog while it is in use.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use dm_core::ports::{CatalogCopy, CatalogError, StoreError};
use futures::future::BoxFuture;
use sqlx::SqliteConnection;

use super::{SqliteCatalog, error::from_sqlx};

/// A copy that somebody waits for.
pub(super) struct CopyJob {
    pub(super) file: PathBuf,
    pub(super) meanwhile: BoxFuture<'static, Result<(), StoreError>>,
}

impl CopyJob {
    /// Copies what is committed, without what was deleted before, and awaits what
    /// else belongs to this moment.
    pub(super) async fn run(self, connection: &mut SqliteConnection) -> Result<(), CatalogError> {
        let query = sqlx::query("VACUUM INTO ?").bind(self.file.to_string_lossy().into_owned());
        query.execute(connection).await.map_err(from_sqlx)?;
        self.meanwhile.await.map_err(|error| match error {
            StoreError::Full => CatalogError::Full,
            other => CatalogError::Failed(Box::new(other)),
        })
    }
}

#[async_trait]
impl CatalogCopy for SqliteCatalog {
    async fn copy_to(
        &self,
        file: &Path,
        meanwhile: BoxFuture<'static, Result<(), StoreError>>,
    ) -> Result<(), CatalogError> {
        let job = CopyJob {
            file: file.to_owned(),
            meanwhile,
        };
        self.writer.copy(job).await
    }
}
