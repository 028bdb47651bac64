//! Asks for the letters that wait for this node.

use std::time::Duration;

use alloy_primitives::Address;
use dm_core::{
    contact::Trust,
    letter::Letter,
    ports::{CatalogError, MAX_NAMED_SENDERS, NetworkError},
};

use super::{Notices, arrival_of};
use crate::ServiceError;

/// Pauses after a start: the network is to be found, and the address record announced.
const FIRST_PAUSES: [Duration; 4] = [
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(60),
];
/// Between two questions later on.
const PAUSE: Duration = Duration::from_secs(600);

impl Notices {
    pub(super) async fn collect_all(&self) -> Result<(), ServiceError> {
        for pause in FIRST_PAUSES.into_iter().chain(std::iter::repeat(PAUSE)) {
            tokio::time::sleep(pause).await;
            self.collect().await?;
        }
        Ok(())
    }

    /// Asks once; how many objects of others were spoken of.
    ///
    /// # Errors
    /// Faults of the stores.
    pub async fn collect(&self) -> Result<usize, ServiceError> {
        let named = self.welcome_senders().await?;
        let letters = match self.ports.network.collect(&named).await {
            Ok(letters) => letters,
            Err(NetworkError::Stopped) => return Ok(0),
            Err(error) => {
                tracing::debug!(%error, "no letters were collected");
                return Ok(0);
            }
        };
        let mut arrivals = Vec::new();
        for letter in letters {
            match letter {
                Letter::Notice(notice) if notice.recipient == self.own => arrivals.push(arrival_of(&notice)),
                Letter::Notice(_) => {}
                Letter::Acknowledgement(statement) => {
                    self.ports.deliveries.arrived(statement).await?;
                }
            }
        }
        self.ports.arrivals.have_come(&arrivals).await?;
        Ok(arrivals.len())
    }

    async fn welcome_senders(&self) -> Result<Vec<Address>, CatalogError> {
        let contacts = self.ports.contacts.contacts(None, MAX_NAMED_SENDERS).await?;
        let welcome = contacts
            .into_iter()
            .filter(|contact| contact.trust != Trust::Block);
        Ok(welcome.map(|contact| contact.address).collect())
    }
}
