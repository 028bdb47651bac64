//! Files of secrets in the catalog's database.

use std::{path::PathBuf, sync::Arc, thread};

use dm_core::ports::{CatalogError, KeyValueStore, SecretFiles, SecretFilesError, StoreError, WriteBatch};
use futures::future::BoxFuture;

use super::SqliteCatalog;
use crate::error::failed;

type Open = dyn Fn() -> BoxFuture<'static, Result<SqliteCatalog, CatalogError>> + Send + Sync;

/// A node's files of secrets in a namespace of its catalog, where all instances find them.
/// Each call opens the catalog for itself, in a thread that it waits for: the keys are needed
/// before the node has its catalog open, and calls come from wherever the keys are used.
pub struct CatalogSecrets {
    place: String,
    open: Box<Open>,
}

impl CatalogSecrets {
    /// The namespace that has the files, each under its name.
    pub const NAMESPACE: &str = "keys";

    /// The files in the catalog that `open` opens; `place` names it in messages.
    pub fn of_catalog(
        place: impl Into<String>,
        open: impl Fn() -> BoxFuture<'static, Result<SqliteCatalog, CatalogError>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            place: place.into(),
            open: Box::new(open),
        }
    }

    fn with_files<T: Send>(
        &self,
        work: impl AsyncFnOnce(Arc<dyn KeyValueStore>) -> Result<T, StoreError> + Send,
    ) -> Result<T, SecretFilesError> {
        let run = || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(StoreError::from_io)?;
            runtime.block_on(async {
                let catalog = (self.open)()
                    .await
                    .map_err(|error| failed(format!("cannot open the catalog at {}: {error}", self.place)))?;
                let done = work(catalog.namespace(Self::NAMESPACE)).await;
                if let Err(error) = catalog.close().await {
                    tracing::debug!(%error, "closing the catalog of the keys");
                }
                done
            })
        };
        let done = thread::scope(|scope| scope.spawn(run).join());
        done.unwrap_or_else(|_| Err(failed("the thread that reads the keys panicked")))
            .map_err(|error| match error {
                StoreError::Conflict => SecretFilesError::Conflict,
                StoreError::Failed(source) => SecretFilesError::Failed(source),
                error => SecretFilesError::Failed(error.into()),
            })
    }
}

impl SecretFiles for CatalogSecrets {
    fn place(&self, name: &str) -> PathBuf {
        format!("{name} in the catalog at {}", self.place).into()
    }

    fn load(&self, name: &str) -> Result<Option<Vec<u8>>, SecretFilesError> {
        let content = self.with_files(async |files| files.get(name.as_bytes()).await)?;
        Ok(content.map(Vec::from))
    }

    fn replace(
        &self,
        name: &str,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<(), SecretFilesError> {
        let (key, mut batch) = (name.as_bytes().to_vec(), WriteBatch::new());
        batch.expect(key.clone(), expected.map(|bytes| bytes.to_vec().into()));
        match new {
            Some(bytes) => batch.put(key, bytes.to_vec()),
            None => batch.delete(key),
        };
        self.with_files(async |files| files.commit(batch).await)
    }
}
