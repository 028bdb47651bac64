//! The data hash of plaintext that passes in pieces.

use std::sync::Arc;

use bytes::Bytes;
use dm_core::hash::{DataHash, DataHasher};
use futures::{FutureExt, future::BoxFuture};

use super::{Sealing, intake::begun};
use crate::ServiceError;

/// Pieces that are hashed at a time, while as many are gathered: 1 MiB where each is a chunk.
/// One at a time would cost as many changes of threads.
const GATHERED: usize = 4;

/// Hashes plaintext behind its way to the reader.
pub(in crate::data) struct PassingHash {
    sealing: Arc<Sealing>,
    gathered: Vec<Bytes>,
    /// Has seen all before what is gathered, once it resolves.
    hasher: BoxFuture<'static, Result<DataHasher, ServiceError>>,
}

impl PassingHash {
    /// A hash that has seen nothing.
    pub(in crate::data) fn new(sealing: Arc<Sealing>) -> Self {
        Self {
            sealing,
            gathered: Vec::new(),
            hasher: ready(DataHasher::new()),
        }
    }

    /// Takes the next piece; waits while enough is in memory.
    pub(in crate::data) async fn add(&mut self, piece: Bytes) -> Result<(), ServiceError> {
        self.gathered.push(piece);
        if self.gathered.len() >= GATHERED {
            let hasher = self.before().await?;
            let (sealing, pieces) = (self.sealing.clone(), std::mem::take(&mut self.gathered));
            self.hasher = begun(async move { sealing.hash_on(hasher, pieces).await });
        }
        Ok(())
    }

    /// The hash of all pieces.
    pub(in crate::data) async fn finish(&mut self) -> Result<DataHash, ServiceError> {
        let hasher = self.before().await?;
        let pieces = std::mem::take(&mut self.gathered);
        Ok(self.sealing.hash_on(hasher, pieces).await?.finish())
    }

    async fn before(&mut self) -> Result<DataHasher, ServiceError> {
        std::mem::replace(&mut self.hasher, ready(DataHasher::new())).await
    }
}

fn ready(hasher: DataHasher) -> BoxFuture<'static, Result<DataHasher, ServiceError>> {
    std::future::ready(Ok(hasher)).boxed()
}
