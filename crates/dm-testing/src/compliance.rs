//! [`MemoryComplianceLog`], the compliance log in memory, and the conformance
//! suite of the port [`ComplianceLog`](dm_core::ports::ComplianceLog).

pub mod conformance;
mod memory;
mod tree;

pub use memory::{MemoryComplianceLog, TestLedger};

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dm_core::{Address, ports::ComplianceLog};

    use super::{
        conformance::{self, TestedLog},
        *,
    };

    struct Tested(Arc<MemoryComplianceLog>);

    impl TestedLog for Tested {
        fn log(&self) -> Arc<dyn ComplianceLog> {
            self.0.clone()
        }

        fn set_chain_away(&self, away: bool) {
            self.0.set_chain_away(away);
        }

        fn fork(&self) {
            self.0.set_fault("another history");
        }
    }

    #[tokio::test]
    async fn the_log_in_memory_keeps_the_promises_of_the_port() {
        conformance::run_all(|| async {
            let log = MemoryComplianceLog::new(Address::repeat_byte(7), &TestLedger::new());
            Tested(Arc::new(log))
        })
        .await;
    }

    #[tokio::test]
    async fn logs_on_one_ledger_verify_each_others_receipts() {
        let ledger = TestLedger::new();
        let one = MemoryComplianceLog::new(Address::repeat_byte(1), &ledger);
        let other = MemoryComplianceLog::new(Address::repeat_byte(2), &ledger);
        let recorded = one.record(conformance::share(1)).await.unwrap();
        let receipt = one.receipt(recorded.index).await.unwrap().unwrap();
        assert!(other.verify(&receipt).await.unwrap().is_valid());
        let stranger = MemoryComplianceLog::new(Address::repeat_byte(3), &TestLedger::new());
        assert!(!stranger.verify(&receipt).await.unwrap().is_valid());
    }
}
