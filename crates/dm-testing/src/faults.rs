//! [`Faults`]: failures and crashes of in-memory stores, on request.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

/// What becomes of one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails, and nothing has changed.
    Refused,
    /// It is made, and its caller is told that it failed.
    Unconfirmed,
    /// The node is killed before it.
    KilledBefore,
    /// The node is killed after it.
    KilledAfter,
}

/// Says which writes of the stores that share it fail. A node that was killed
/// reads and writes nothing until it is [started again](Faults::revive).
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<Plan>>);

#[derive(Debug, Default)]
struct Plan {
    /// Writes so far.
    writes: u64,
    due: BTreeMap<u64, Fault>,
    killed: bool,
}

impl Faults {
    /// Nothing fails.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the write fail that comes after `writes` others from now on.
    pub fn after(&self, writes: u64, fault: Fault) {
        let mut plan = self.plan();
        let at = plan.writes + writes;
        plan.due.insert(at, fault);
    }

    /// Kills the node.
    pub fn kill(&self) {
        self.plan().killed = true;
    }

    /// Whether the node was killed.
    pub fn is_killed(&self) -> bool {
        self.plan().killed
    }

    /// The node starts again, and nothing fails any more.
    pub fn revive(&self) {
        let mut plan = self.plan();
        plan.killed = false;
        plan.due.clear();
    }

    /// Writes so far.
    pub fn writes(&self) -> u64 {
        self.plan().writes
    }

    /// Fails where the node was killed.
    ///
    /// # Errors
    /// What `error` makes of the reason.
    pub fn read<E>(&self, error: impl FnOnce(&'static str) -> E) -> Result<(), E> {
        match self.is_killed() {
            true => Err(error("killed")),
            false => Ok(()),
        }
    }

    /// Makes a write, or does what is due instead.
    ///
    /// # Errors
    /// Those of the write, and what `error` makes of the reason.
    pub fn write<T, E>(
        &self,
        error: impl FnOnce(&'static str) -> E,
        write: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let fault = {
            let mut plan = self.plan();
            if plan.killed {
                return Err(error("killed"));
            }
            let at = plan.writes;
            plan.writes += 1;
            let fault = plan.due.remove(&at);
            plan.killed = matches!(fault, Some(Fault::KilledBefore | Fault::KilledAfter));
            fault
        };
        match fault {
            None => write(),
            Some(Fault::Refused) => Err(error("refused on request")),
            Some(Fault::KilledBefore) => Err(error("killed")),
            Some(Fault::Unconfirmed) => write().and_then(|_| Err(error("not confirmed, on request"))),
            Some(Fault::KilledAfter) => write().and_then(|_| Err(error("killed"))),
        }
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_fails_at_its_turn_before_or_after_its_effect_and_a_killed_node_does_nothing() {
        let faults = Faults::new();
        let mut made = Vec::new();
        faults.after(1, Fault::Refused);
        faults.after(2, Fault::Unconfirmed);
        faults.after(3, Fault::KilledAfter);
        for n in 0..6 {
            let write = || {
                made.push(n);
                Ok::<_, &str>(())
            };
            assert_eq!(faults.write(|reason| reason, write).is_ok(), n == 0);
        }
        assert_eq!(made, [0, 2, 3]);
        assert_eq!(faults.read(|reason| reason), Err("killed"));
        faults.revive();
        assert_eq!(faults.read(|reason| reason), Ok(()));
        assert_eq!(faults.write(|reason| reason, || Ok(7)), Ok(7));
    }
}
