//! Random histories beside a model that is simple enough to be right.

use std::{collections::HashMap, sync::Arc};

use alloy::primitives::{Address, U256};
use dm_chain::embedded::DEV_ACCOUNTS;
use dm_testing::key_value::MemoryKeyValueStore;
use proptest::prelude::*;
use serde_json::json;

use super::support::{PRICE, balance, call, coins, open, send, transfer};

#[derive(Debug, Clone)]
enum Step {
    /// A transfer; the nonce is this far from the right one.
    Transfer {
        from: usize,
        to: usize,
        value: u64,
        nonce_offset: i8,
    },
    /// The chain is closed and opened again.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let nonce_offset = prop_oneof![8 => Just(0i8), 1 => Just(-1), 1 => Just(1)];
    prop_oneof![
        12 => (0..3usize, 0..4usize, 0..6_000u64, nonce_offset)
            .prop_map(|(from, to, value, nonce_offset)| Step::Transfer { from, to, value, nonce_offset }),
        1 => Just(Step::Restart),
    ]
}

/// Balances, next nonces, and what waits behind a gap.
struct Model {
    balances: [U256; 4],
    nonces: [u64; 3],
    waiting: HashMap<(usize, u64), (usize, U256)>,
}

impl Model {
    fn new() -> Self {
        let balances = [coins(10_000), coins(10_000), coins(10_000), U256::ZERO];
        Self {
            balances,
            nonces: [0; 3],
            waiting: HashMap::new(),
        }
    }

    fn gas_money() -> U256 {
        U256::from(21_000 * PRICE)
    }

    /// Whether the chain must take the transaction.
    fn send(&mut self, from: usize, nonce: u64, to: usize, value: U256) -> bool {
        let covered = value + Self::gas_money() <= self.balances[from];
        if nonce < self.nonces[from] || !covered || self.waiting.contains_key(&(from, nonce)) {
            return false;
        }
        self.waiting.insert((from, nonce), (to, value));
        while let Some((to, value)) = self.waiting.remove(&(from, self.nonces[from])) {
            let cost = value + Self::gas_money();
            // What cannot be paid any more is dropped; what comes after it waits.
            let Some(left) = self.balances[from].checked_sub(cost) else {
                break;
            };
            self.balances[from] = left;
            self.balances[to] += value;
            self.nonces[from] += 1;
        }
        true
    }
}

fn address(index: usize) -> Address {
    match index {
        3 => Address::repeat_byte(0x33),
        _ => DEV_ACCOUNTS[index],
    }
}

async fn follow(steps: Vec<Step>) {
    let store = Arc::new(MemoryKeyValueStore::new());
    let mut chain = open(&store).await;
    let mut model = Model::new();
    for step in steps {
        match step {
            Step::Restart => {
                chain.close().await;
                chain = open(&store).await;
                // The pool is not kept: what waited is gone.
                model.waiting.clear();
            }
            Step::Transfer {
                from,
                to,
                value,
                nonce_offset,
            } => {
                let nonce = model.nonces[from].saturating_add_signed(nonce_offset.into());
                let value = coins(value);
                let sent = send(&chain, &transfer(from, nonce, address(to), value, PRICE)).await;
                let expected = model.send(from, nonce, to, value);
                assert_eq!(sent.is_ok(), expected, "{step:?}: {sent:?}");
                // Transactions that a gap held back are mined after sending returned.
                call(&chain, "evm_mine", json!([])).await;
            }
        }
        for (index, expected) in model.balances.iter().enumerate() {
            assert_eq!(
                balance(&chain, address(index)).await,
                *expected,
                "balance of account {index}"
            );
        }
        for (index, expected) in model.nonces.iter().enumerate() {
            let count = call(
                &chain,
                "eth_getTransactionCount",
                json!([address(index), "latest"]),
            )
            .await;
            assert_eq!(
                count["result"],
                format!("{expected:#x}"),
                "nonce of account {index}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_chain_agrees_with_the_model(steps in prop::collection::vec(step(), 1..40)) {
        tokio::runtime::Runtime::new().unwrap().block_on(follow(steps));
    }
}
