/// Changes at run time what is logged.
pub trait LogControl: Send + Sync {
    /// The present filter, such as `info,dm_p2p=debug`.
    fn filter(&self) -> String;

    /// Replaces the filter.
    ///
    /// # Errors
    /// [`InvalidLogFilter`] where it cannot be read; the old one stays.
    fn set_filter(&self, filter: &str) -> Result<(), InvalidLogFilter>;
}

/// The filter cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is no log filter: {0}")]
pub struct InvalidLogFilter(pub String);
