//! The client on a real node keeps the promises of its ports.

use dm_testing::{anchors::AnchorsFixture, chain::ChainFixture, money::MoneyFixture};

use crate::support::TestChain;

async fn chain() -> Option<ChainFixture> {
    Some(TestChain::anvil(&[]).await?.chain_fixture())
}

async fn anchors() -> Option<AnchorsFixture> {
    Some(TestChain::anvil(&[]).await?.anchors_fixture())
}

async fn money() -> Option<MoneyFixture> {
    Some(TestChain::anvil(&[]).await?.money_fixture())
}

dm_testing::chain_conformance!(chain);
dm_testing::anchors_conformance!(anchors);
dm_testing::money_conformance!(money);
