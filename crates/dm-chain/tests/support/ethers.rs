//! Clients over ethers-rs for the conformance suites.

use std::sync::Arc;

use dm_chain::{ChainAccess, EvmClient, embedded::EmbeddedChain};
use dm_core::ports::{KeyValueStore, Operations};
use dm_testing::{anchors::AnchorsFixture, chain::ChainFixture, money::MoneyFixture, signer::TestSigner};

use super::{CHAIN_ID, TestChain, account, client_of, journal, quick};

/// Makes a client for a test account.
type Connect = Arc<dyn Fn(u8, Arc<dyn KeyValueStore>) -> Arc<EvmClient> + Send + Sync>;

/// A chain with clients over ethers-rs.
pub struct Fixtures {
    chain: TestChain,
    connect: Connect,
}

impl Fixtures {
    /// A new embedded chain.
    pub async fn embedded() -> Self {
        let chain = TestChain::embedded().await;
        let embedded = chain.guard.downcast_ref::<EmbeddedChain>().unwrap().clone();
        Self {
            chain,
            connect: Arc::new(move |n, journal| {
                let (chain, signer) = (Arc::new(embedded.clone()), Arc::new(TestSigner::new(n)));
                Arc::new(client_of(
                    ChainAccess::EthersInProcess(chain),
                    signer,
                    journal,
                    quick(),
                ))
            }),
        }
    }

    /// A new anvil.
    pub async fn anvil() -> Option<Self> {
        let chain = TestChain::anvil(&[]).await?;
        let url = chain.guard.downcast_ref::<super::anvil::Anvil>().unwrap().url();
        Some(Self {
            chain,
            connect: Arc::new(move |n, journal| {
                let signer = Arc::new(TestSigner::new(n));
                Arc::new(client_of(
                    ChainAccess::ethers_urls([&url]),
                    signer,
                    journal,
                    quick(),
                ))
            }),
        })
    }

    fn client(&self, n: u8) -> Arc<EvmClient> {
        (self.connect)(n, journal())
    }

    /// For the conformance suite of `Chain`.
    pub fn chain(self) -> ChainFixture {
        ChainFixture {
            chain: self.client(0),
            chain_id: CHAIN_ID,
            funded: account(0),
            mine: self.chain.mining(),
            guard: self.chain.guard,
        }
    }

    /// For the conformance suite of `Anchors`.
    pub fn anchors(self) -> AnchorsFixture {
        AnchorsFixture {
            anchors: self.client(0),
            account: account(0),
            other: self.client(1),
            other_account: account(1),
            chain_id: CHAIN_ID,
            mine: self.chain.mining(),
            guard: self.chain.guard,
        }
    }

    /// For the conformance suite of `Tokens` and `Operations`.
    pub fn money(self) -> MoneyFixture {
        let (connect, journal) = (self.connect.clone(), journal());
        let client = connect(0, journal.clone());
        MoneyFixture {
            tokens: client.clone(),
            operations: client,
            other: self.client(1),
            restart: Arc::new(move || {
                let client: Arc<dyn Operations> = connect(0, journal.clone());
                Box::pin(async move { client })
            }),
            guard: self.chain.guard,
        }
    }
}
