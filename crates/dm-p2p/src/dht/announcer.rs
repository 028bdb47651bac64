use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use dm_core::{address_record::Announcement, ports::NetworkError};
use tokio_util::sync::CancellationToken;

use crate::node::Context;

/// How long an announcement is waited for; it goes on without its caller.
const ANNOUNCE_WAIT: Duration = Duration::from_secs(3);

/// Puts this node's records on the DHT; they are put there again at intervals and
/// whenever a new peer is met. Having no peer yet is no error.
pub(crate) async fn announce(context: &Context, own: Announcement) -> Result<(), NetworkError> {
    {
        let mut announced = context.announced.lock().unwrap_or_else(PoisonError::into_inner);
        *announced = Some(own.clone());
    }
    for record in own.records() {
        let put = context.runner.put_record(record).await?;
        // Whether it arrived, or is still on its way, or met no peer: it is
        // repeated anyway.
        let _ = tokio::time::timeout(ANNOUNCE_WAIT, put).await;
    }
    Ok(())
}

/// Repeats the last announcement at intervals.
pub(crate) async fn keep_announcing(
    context: Arc<Context>,
    interval: Duration,
    shutdown: CancellationToken,
) -> Result<(), NetworkError> {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(interval) => {}
        }
        if let Some(own) = context.announced() {
            announce(&context, own).await?;
        }
    }
}
