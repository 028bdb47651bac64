//! Work that is done also where nobody waits for it any more.

use dm_core::{lease::in_same_epoch, span::in_same_trace};
use tracing::Instrument;

use super::ServiceError;

/// Runs `work` to its end also where nobody waits for it any more: a client
/// that goes away must not leave a share half done.
pub(super) async fn run_to_completion<T: Send + 'static>(
    work: impl Future<Output = Result<T, ServiceError>> + Send + 'static,
) -> Result<T, ServiceError> {
    match tokio::spawn(in_same_trace(in_same_epoch(work)).in_current_span()).await {
        Ok(result) => result,
        Err(error) => Err(ServiceError::Unavailable(
            format!("work was cut off: {error}").into(),
        )),
    }
}
