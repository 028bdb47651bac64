use std::panic::{AssertUnwindSafe, catch_unwind};

use dm_core::ports::StoreError;

/// Runs the opening of an engine, and takes a panic in it for damage: engines
/// meet some damaged files with failed assertions. What they had built up by
/// then is dropped with the panic, so nothing half-made is used afterwards.
pub(crate) fn as_damage<T>(open: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|panic| {
        let reason = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no reason given");
        Err(StoreError::Corrupt(format!(
            "the engine cannot read its files ({reason})"
        )))
    })
}
