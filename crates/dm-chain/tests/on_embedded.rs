//! The client on the embedded chain keeps the promises of its ports.

use dm_testing::{anchors::AnchorsFixture, chain::ChainFixture, money::MoneyFixture};

use crate::support::TestChain;

async fn chain() -> Option<ChainFixture> {
    Some(TestChain::embedded().await.chain_fixture())
}

async fn anchors() -> Option<AnchorsFixture> {
    Some(TestChain::embedded().await.anchors_fixture())
}

async fn money() -> Option<MoneyFixture> {
    Some(TestChain::embedded().await.money_fixture())
}

dm_testing::chain_conformance!(chain);
dm_testing::anchors_conformance!(anchors);
dm_testing::money_conformance!(money);
