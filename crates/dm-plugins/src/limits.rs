//! What an instance of a component may take of memory, all its parts together.

use wasmtime::ResourceLimiter;

/// Most tables, memories and instances of a component; those of known
/// languages have a handful.
const MAX_PARTS: usize = 64;
/// Most elements of all tables together.
const MAX_ELEMENTS: usize = 100_000;

/// Counts what the memories and tables of one instance have taken.
pub(crate) struct InstanceLimits {
    memory: Budget,
    elements: Budget,
}

impl InstanceLimits {
    /// At most this many bytes in all linear memories together.
    pub(crate) fn new(memory_bytes: usize) -> Self {
        Self {
            memory: Budget::of(memory_bytes),
            elements: Budget::of(MAX_ELEMENTS),
        }
    }
}

impl ResourceLimiter for InstanceLimits {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.memory.take(desired.saturating_sub(current)))
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory.give_back();
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.elements.take(desired.saturating_sub(current)))
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.elements.give_back();
        Ok(())
    }

    fn instances(&self) -> usize {
        MAX_PARTS
    }

    fn tables(&self) -> usize {
        MAX_PARTS
    }

    fn memories(&self) -> usize {
        MAX_PARTS
    }
}

/// What is left of a limit.
struct Budget {
    left: usize,
    /// What was taken last, which may turn out not to be there.
    last: usize,
}

impl Budget {
    fn of(limit: usize) -> Self {
        Self { left: limit, last: 0 }
    }

    /// Takes some, where that much is left.
    fn take(&mut self, amount: usize) -> bool {
        let left = self.left.checked_sub(amount);
        self.last = left.map_or(0, |_| amount);
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }

    fn give_back(&mut self) {
        self.left += std::mem::take(&mut self.last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_or_failed_is_not_counted() {
        let mut budget = Budget::of(10);
        assert!(budget.take(6) && !budget.take(5));
        budget.give_back();
        assert!(budget.take(4));
        budget.give_back();
        assert!(budget.take(4) && !budget.take(1));
    }
}
