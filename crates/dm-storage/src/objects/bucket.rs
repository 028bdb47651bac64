//! The bucket for large bodies, as the store sees it that is opened over it.

use std::sync::{Arc, atomic::AtomicBool};

use dm_core::{Address, config::StorageConfig, envelope::SignedEnvelope, ports::StoreError};

use super::{bodies::Bodies, epochs::Living, record::BodyId};
use crate::{commits::committer::Committer, disk::write_state::WriteFault, engine::Engine};

/// A place for bodies that outlives the folder of the store. Calls that are not async block.
pub(crate) trait Bucket: Bodies {
    /// Its URL.
    fn url(&self) -> String;

    /// The newest epoch that was noted when this was opened; 0 where there was none.
    fn last_epoch(&self) -> u64;

    /// Notes an epoch that begins.
    fn begin_epoch(&self, epoch: u64) -> Result<(), StoreError>;

    /// The whole bodies of epochs after this one, with the envelopes that they were stored with.
    fn bodies_after(&self, epoch: u64) -> Result<Vec<(BodyId, SignedEnvelope)>, StoreError>;

    /// Ends uploads of epochs that have ended, and deletes their bodies that belong to no
    /// object. Safe beside readers and writers, because such bodies are never made again.
    fn collect(
        &self,
        engine: &dyn Engine,
        committer: &Committer,
        living: &Living,
        stop: &AtomicBool,
    ) -> Result<(), StoreError>;

    /// Why requests fail, where the last one did.
    fn fault(&self) -> Option<WriteFault>;
}

/// The bucket that is configured, for the objects of this account.
///
/// # Errors
/// A `StorageFault` where it breaks its promises, or belongs to another account.
#[cfg(feature = "s3")]
pub(crate) fn open(config: &StorageConfig, account: Address) -> Result<Option<Arc<dyn Bucket>>, StoreError> {
    let Some(url) = &config.objects_url else {
        return Ok(None);
    };
    let bucket = super::s3::S3Bodies::open(url, &config.s3, account)?;
    Ok(Some(Arc::new(bucket)))
}

/// As above; this build can use none.
#[cfg(not(feature = "s3"))]
pub(crate) fn open(config: &StorageConfig, _: Address) -> Result<Option<Arc<dyn Bucket>>, StoreError> {
    match config.objects_url {
        None => Ok(None),
        Some(_) => Err(crate::error::StorageFault::BucketNotBuilt.into()),
    }
}
