//! The manager keeps the promises of the port.

use std::sync::Arc;

use dm_core::ports::ComplianceLog;
use dm_testing::compliance::conformance::{self, TestedLog};

use crate::support::{Life, chain::SimulatedChain, events::MemoryEvents};

struct Tested {
    life: Life,
    chain: SimulatedChain,
}

impl TestedLog for Tested {
    fn log(&self) -> Arc<dyn ComplianceLog> {
        self.life.manager.clone()
    }

    fn set_chain_away(&self, away: bool) {
        self.chain.set_away(away);
    }

    fn fork(&self) {
        self.chain.anchor_foreign();
    }
}

#[tokio::test(start_paused = true)]
async fn the_manager_keeps_the_promises_of_the_port() {
    conformance::run_all(|| async {
        let chain = SimulatedChain::new();
        let life = Life::start(&MemoryEvents::default(), &chain).await;
        Tested { life, chain }
    })
    .await;
}
