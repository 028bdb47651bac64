//! What shares are listed with: what is said of their data, for this node alone.

use std::sync::Arc;

use dm_core::{
    descriptor::Descriptor,
    hash::DataHash,
    ports::{Sealer, SentCatalog},
    sent::ShareListing,
};

use crate::{ServiceError, data::DataPorts, listing_keys::ListingKeys};

/// The list of this node's shares.
pub(super) struct ShareList {
    sent: Arc<dyn SentCatalog>,
    sealer: Arc<dyn Sealer>,
    keys: ListingKeys,
}

impl ShareList {
    pub(super) fn new(ports: &DataPorts) -> Result<Self, ServiceError> {
        Ok(Self {
            sent: ports.catalog.clone(),
            sealer: ports.sealer.clone(),
            keys: ListingKeys::of_shares(ports.signer.as_ref())?,
        })
    }

    /// What a share of data with this descriptor is listed with.
    pub(super) fn listing(&self, descriptor: &Descriptor) -> ShareListing {
        ShareListing {
            descriptor: self.keys.seal(self.sealer.as_ref(), descriptor),
            terms: self.keys.terms_of(descriptor),
        }
    }

    /// Lists the shares of data anew, which was described anew. The envelope counts: where
    /// this fails, the list says what was said before.
    pub(super) async fn relist(&self, data_hash: &DataHash, descriptor: &Descriptor) {
        let listing = self.listing(descriptor);
        if let Err(error) = self.sent.relist_shares(data_hash, &listing).await {
            tracing::warn!(locator = %data_hash.locator(), %error, "the list of shares has an earlier description");
        }
    }
}
