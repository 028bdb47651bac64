//! Calls of plugins, from which nothing but a fault comes out.

use std::{panic::AssertUnwindSafe, time::Duration};

use dm_core::plugin::PluginFault;
use futures::FutureExt;

/// Runs a call within its time; a panic is a fault.
pub(super) async fn guarded<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, PluginFault>>,
) -> Result<T, PluginFault> {
    match tokio::time::timeout(limit, AssertUnwindSafe(call).catch_unwind()).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(PluginFault::new("it panicked")),
        Err(_) => Err(PluginFault::new(format!("it took longer than {limit:?}"))),
    }
}
