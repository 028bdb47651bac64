//! The note in a bucket of whose it is, and of the last store that was opened over it.

use dm_core::{Address, config::ObjectsUrl, ports::StoreError};
use serde::{Deserialize, Serialize};

use super::{broken, client::Client, fault::Fault, setup::Keys};
use crate::error::StorageFault;

/// The only version of the note so far.
const VERSION: u32 = 1;

/// What is noted.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Marker {
    version: u32,
    /// The account whose bodies these are.
    account: Address,
    /// Epoch of the last store; body ids of later ones are not in use.
    pub(super) epoch: u64,
}

impl Marker {
    /// The note in the bucket; a new one where there is none.
    ///
    /// # Errors
    /// Where the bucket belongs to another account, or holds bodies of nobody.
    pub(super) async fn read(
        client: &Client,
        keys: &Keys,
        url: &ObjectsUrl,
        account: Address,
    ) -> Result<Self, StoreError> {
        let read = match client.read_all(&keys.marker()).await {
            Err(Fault::Missing) => None,
            read => Some(read.map_err(|fault| fault.into_store_error(&url.to_string()))?),
        };
        let Some(bytes) = read else {
            let bodies = client.list(&keys.bodies(), None, 1).await;
            let bodies = bodies.map_err(|fault| fault.into_store_error(&url.to_string()))?;
            if !bodies.is_empty() {
                return Err(broken(
                    url,
                    "it holds objects, and no `store.json` that says whose they are",
                ));
            }
            return Ok(Self {
                version: VERSION,
                account,
                epoch: 0,
            });
        };
        match serde_json::from_slice::<Self>(&bytes) {
            Ok(marker) if marker.version != VERSION => Err(broken(
                url,
                "its `store.json` was written by a newer version of this program",
            )),
            Ok(marker) if marker.account != account => Err(StorageFault::BucketOfAnother {
                url: url.to_string(),
                account: marker.account.to_string(),
            }
            .into()),
            Ok(marker) => Ok(marker),
            Err(error) => Err(broken(url, format!("its `store.json` cannot be read: {error}"))),
        }
    }

    /// The same, of another epoch.
    pub(super) fn of_epoch(self, epoch: u64) -> Self {
        Self { epoch, ..self }
    }

    /// Puts the note into the bucket.
    pub(super) async fn write(&self, client: &Client, keys: &Keys) -> Result<(), Fault> {
        let json = serde_json::to_vec(self).map_err(|error| Fault::Permanent(error.to_string()))?;
        client.put(&keys.marker(), json.into()).await
    }
}
