//! Allowances of tokens that change them from and to nothing only, as USDT does.

use std::{sync::Arc, time::Duration};

use alloy::primitives::U256;
use dm_chain::EvmClient;
use dm_core::{
    bus::EventBus,
    ports::{Operations, Tokens},
    token::NATIVE_TOKEN,
};
use dm_services::{MoneyConfig, MoneyPorts, OrderExecutor, TokenManager};
use dm_testing::{
    catalog::MemoryCatalog,
    compliance::{MemoryComplianceLog, TestLedger},
    mortal::{Fuse, Mortal},
};

use crate::support::{TestChain, account, money::deploy};

fn manager(client: &Arc<EvmClient>, catalog: &Arc<MemoryCatalog>, fuse: &Fuse) -> TokenManager {
    let operations: Arc<dyn Operations> = client.clone();
    let ports = MoneyPorts {
        chain: client.clone(),
        tokens: client.clone(),
        operations: Arc::new(Mortal::new(fuse, operations)),
        orders: catalog.clone(),
        supported: catalog.clone(),
        log: Arc::new(MemoryComplianceLog::new(account(0), &TestLedger::new())),
        bus: EventBus::new(),
    };
    let settings = MoneyConfig {
        native_alias: NATIVE_TOKEN,
        patience: Duration::from_secs(30),
        refund_after: Duration::from_secs(60),
        retry_interval: Duration::from_millis(20),
    };
    TokenManager::new(OrderExecutor::new(ports, settings))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allowance_is_changed_and_taken_back_on_a_token_that_demands_zero_first() {
    let mut chains = vec![TestChain::embedded().await];
    chains.extend(TestChain::anvil(&[]).await);
    for chain in chains {
        let client = Arc::new(chain.client(0));
        let token = deploy(&chain, 0, "SilentToken").await;
        let catalog = Arc::new(MemoryCatalog::new());
        let tokens = manager(&client, &catalog, &Fuse::new(i64::MAX));
        tokens.add(token, None).await.unwrap();
        for amount in [9, 7, 0, 0, 5] {
            let amount = U256::from(amount);
            tokens.approve(token, account(1), amount, None).await.unwrap();
            let allowed = client.allowance(token, account(0), account(1)).await;
            assert_eq!(allowed, Ok(amount));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_an_allowance_survives_a_kill_at_every_step() {
    let chain = TestChain::embedded().await;
    let client = Arc::new(chain.client(0));
    let token = deploy(&chain, 0, "SilentToken").await;
    let allowed = async || client.allowance(token, account(0), account(1)).await.unwrap();
    let key = |length: i64| {
        Some(dm_core::idempotency::IdempotencyKey {
            client: "client".to_owned(),
            key: length.to_string(),
        })
    };
    for length in 0.. {
        let catalog = Arc::new(MemoryCatalog::new());
        let tokens = manager(&client, &catalog, &Fuse::new(i64::MAX));
        tokens.add(token, None).await.unwrap();
        let amount = U256::from(length + 1);
        let fuse = Fuse::new(length);
        let mortal = manager(&client, &catalog, &fuse);
        let _ = mortal.approve(token, account(1), amount, key(length)).await;
        // The node starts again, and the client asks again.
        tokens
            .approve(token, account(1), amount, key(length))
            .await
            .unwrap();
        assert_eq!(allowed().await, amount, "killed at step {length}");
        if !fuse.is_burnt() {
            assert!(length > 8, "{length}");
            return;
        }
    }
}
