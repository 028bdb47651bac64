use std::{sync::Arc, time::Duration};

use dm_core::ports::{CatalogError, PeerCatalog};
use tokio_util::sync::CancellationToken;

use super::Peers;

/// Between two saves: what a process that is killed forgets of its peers. Where
/// all its initial peers are gone, others that it met are its only way back.
const INTERVAL: Duration = Duration::from_secs(5);

/// Saves what changed in the peer book, at intervals and at the end.
pub(crate) async fn persist_peer_book(
    peers: &Peers,
    catalog: &Arc<dyn PeerCatalog>,
    shutdown: CancellationToken,
) -> Result<(), CatalogError> {
    loop {
        let ending = tokio::select! {
            () = shutdown.cancelled() => true,
            () = tokio::time::sleep(INTERVAL) => false,
        };
        save(peers, catalog).await?;
        if ending {
            return Ok(());
        }
    }
}

async fn save(peers: &Peers, catalog: &Arc<dyn PeerCatalog>) -> Result<(), CatalogError> {
    let changes = peers.take_changes();
    if !changes.removed.is_empty() {
        catalog.remove_peers(&changes.removed).await?;
    }
    if !changes.updated.is_empty() {
        catalog.put_peers(&changes.updated).await?;
    }
    Ok(())
}
