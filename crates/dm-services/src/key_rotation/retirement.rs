//! What becomes of old versions of the key-encryption key: what still needs them, and how they end.

use std::sync::Arc;

use dm_core::ports::{KeyChange, KeyRing, KeyRingError, KeyUses, KeyVersion, Retirement};

use super::{KeyRotation, blocking};
use crate::{ServiceError, run_to_completion};

/// A version of the key-encryption key, and what needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct KeyVersionUse {
    /// Which version.
    #[serde(flatten)]
    pub version: KeyVersion,
    /// Content keys that it wraps.
    pub wraps: u64,
    /// Whether it wraps everything new.
    pub newest: bool,
}

/// Destroys a version of the key-encryption key that nothing needs. It is retired first, so that
/// nothing that was begun before comes to need it. Whoever is interrupted in between calls
/// again.
///
/// Nobody may wrap with the version meanwhile: a node that runs on the same files must do
/// it itself.
///
/// # Errors
/// [`ServiceError::UnknownKey`], [`ServiceError::KeyNeeded`] with the reason, and faults of
/// the catalog and of the keys.
pub async fn destroy_key_version(
    key_ring: Arc<dyn KeyRing>,
    uses: &dyn KeyUses,
    version: u32,
) -> Result<(), ServiceError> {
    let versions = key_ring.versions();
    if versions.iter().all(|held| held.version != version) {
        return Err(ServiceError::UnknownKey(version));
    }
    if versions.last().is_some_and(|newest| newest.version == version) {
        return Err(is_newest(version));
    }
    if let Retirement::Wraps(count) = uses.retire(version).await? {
        let reason = format!(
            "it wraps {count} content keys; they are wrapped again in the background, those of uploads \
             excepted that are not complete"
        );
        return Err(ServiceError::KeyNeeded { version, reason });
    }
    match blocking(move || key_ring.destroy(version)).await {
        Err(KeyRingError::UnknownVersion(_)) => Err(ServiceError::UnknownKey(version)),
        Err(KeyRingError::Newest(_)) => Err(is_newest(version)),
        other => Ok(other?),
    }
}

fn is_newest(version: u32) -> ServiceError {
    let reason = "it is the newest and wraps everything new: rotate first".to_owned();
    ServiceError::KeyNeeded { version, reason }
}

/// All versions of the key-encryption key and what needs them, oldest first.
///
/// # Errors
/// Faults of the catalog.
pub async fn key_versions(
    key_ring: &dyn KeyRing,
    uses: &dyn KeyUses,
) -> Result<Vec<KeyVersionUse>, ServiceError> {
    let uses = uses.uses().await?;
    let versions = key_ring.versions();
    let newest = versions.last().map(|version| version.version);
    let with_use = |version: KeyVersion| KeyVersionUse {
        version,
        wraps: uses.get(&version.version).copied().unwrap_or_default(),
        newest: newest == Some(version.version),
    };
    Ok(versions.into_iter().map(with_use).collect())
}

impl KeyRotation {
    /// All versions of the key-encryption key and what needs them, oldest first.
    ///
    /// # Errors
    /// Faults of the catalog.
    pub async fn versions(&self) -> Result<Vec<KeyVersionUse>, ServiceError> {
        key_versions(self.ports.key_ring.as_ref(), self.ports.uses.as_ref()).await
    }

    /// Destroys a version of the key-encryption key that nothing needs any more, and notes it in the log.
    ///
    /// # Errors
    /// As [`destroy_key_version`].
    pub async fn destroy(&self, version: u32) -> Result<(), ServiceError> {
        let rotation = self.clone();
        run_to_completion(async move {
            let turn = rotation.turn().await?;
            let (key_ring, uses) = (rotation.ports.key_ring.clone(), &rotation.ports.uses);
            if key_ring.versions().iter().all(|held| held.version != version) {
                return Err(ServiceError::UnknownKey(version));
            }
            let destroying = destroy_key_version(key_ring, uses.as_ref(), version);
            let noting = rotation.note(KeyChange::KeyEncryptionKeyEnd { version }, destroying);
            turn.work(noting).await?;
            tracing::info!(version, "a version of the key-encryption key is destroyed");
            Ok(())
        })
        .await
    }

    /// Destroys all versions that this node alone has used and that nothing needs any more.
    ///
    /// # Errors
    /// Faults of the catalog and of the keys.
    pub(super) async fn destroy_retired(&self) -> Result<(), ServiceError> {
        let idle = self
            .versions()
            .await?
            .into_iter()
            .filter(|known| known.wraps == 0 && !known.newest && known.version.imported_from.is_none());
        for known in idle {
            match self.destroy(known.version.version).await {
                // Something was wrapped meanwhile, or somebody else was first.
                Err(ServiceError::KeyNeeded { .. } | ServiceError::UnknownKey(_)) => {}
                other => other?,
            }
        }
        Ok(())
    }
}
