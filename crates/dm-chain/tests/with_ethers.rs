//! The client over ethers-rs keeps the promises of its ports, on the embedded
//! chain and on a real node.

/// In this process.
mod on_embedded {
    use dm_testing::{anchors::AnchorsFixture, chain::ChainFixture, money::MoneyFixture};

    use crate::support::ethers::Fixtures;

    async fn chain() -> Option<ChainFixture> {
        Some(Fixtures::embedded().await.chain())
    }

    async fn anchors() -> Option<AnchorsFixture> {
        Some(Fixtures::embedded().await.anchors())
    }

    async fn money() -> Option<MoneyFixture> {
        Some(Fixtures::embedded().await.money())
    }

    dm_testing::chain_conformance!(chain);
    dm_testing::anchors_conformance!(anchors);
    dm_testing::money_conformance!(money);
}

/// Over HTTP.
mod on_anvil {
    use dm_testing::{anchors::AnchorsFixture, chain::ChainFixture, money::MoneyFixture};

    use crate::support::ethers::Fixtures;

    async fn chain() -> Option<ChainFixture> {
        Some(Fixtures::anvil().await?.chain())
    }

    async fn anchors() -> Option<AnchorsFixture> {
        Some(Fixtures::anvil().await?.anchors())
    }

    async fn money() -> Option<MoneyFixture> {
        Some(Fixtures::anvil().await?.money())
    }

    dm_testing::chain_conformance!(chain);
    dm_testing::anchors_conformance!(anchors);
    dm_testing::money_conformance!(money);
}
