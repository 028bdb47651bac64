//! [`MemoryChain`], and the conformance suite of [`Chain`].

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use alloy_primitives::{Address, U256};
use async_trait::async_trait;
use dm_core::{
    ports::{Chain, ChainError, ChainHead},
    token::{NATIVE_TOKEN, TokenInfo, TokenKind},
};
use futures::future::BoxFuture;

/// Time of the first block, in seconds since the Unix epoch.
const GENESIS_TIME: u64 = 1_700_000_000;

/// A chain without contracts whose blocks come when they are asked for, a
/// second after each other.
pub struct MemoryChain {
    id: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    height: u64,
    balances: HashMap<Address, U256>,
    away: bool,
}

impl MemoryChain {
    /// A chain with this id and one block.
    pub fn new(id: u64) -> Self {
        Self {
            id,
            state: Mutex::default(),
        }
    }

    /// Adds a block and returns it.
    pub fn mine(&self) -> ChainHead {
        let mut state = self.lock();
        state.height += 1;
        head_at(state.height)
    }

    /// Sets what an account has.
    pub fn set_balance(&self, account: Address, wei: U256) {
        self.lock().balances.insert(account, wei);
    }

    /// Lets the chain be away, or come back.
    pub fn set_away(&self, away: bool) {
        self.lock().away = away;
    }

    /// Fails while the chain is away.
    pub(super) fn reach(&self) -> Result<ChainHead, ChainError> {
        let state = self.lock();
        if state.away {
            return Err(ChainError::Unavailable("the chain is away".to_owned()));
        }
        Ok(head_at(state.height))
    }

    /// The id, whether the chain is away or not.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn head_at(height: u64) -> ChainHead {
    ChainHead {
        number: height,
        timestamp: GENESIS_TIME + height,
    }
}

#[async_trait]
impl Chain for MemoryChain {
    async fn chain_id(&self) -> Result<u64, ChainError> {
        self.reach().map(|_| self.id)
    }

    async fn head(&self) -> Result<ChainHead, ChainError> {
        self.reach()
    }

    fn native_token(&self) -> TokenInfo {
        TokenInfo {
            address: NATIVE_TOKEN,
            kind: TokenKind::Native,
            symbol: "MEM".to_owned(),
            name: "Memory coin".to_owned(),
            decimals: 18,
        }
    }

    async fn native_balance(&self, account: Address) -> Result<U256, ChainError> {
        self.reach()?;
        Ok(self.lock().balances.get(&account).copied().unwrap_or_default())
    }
}

/// Adds a block to the chain under test.
pub type Mine = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// A chain under test.
pub struct ChainFixture {
    /// The adapter.
    pub chain: Arc<dyn Chain>,
    /// The id that the chain has.
    pub chain_id: u64,
    /// An account that has some of the chain's coin.
    pub funded: Address,
    /// Adds a block.
    pub mine: Mine,
    /// What must live as long as the test, such as a process.
    pub guard: Box<dyn std::any::Any + Send + Sync>,
}

/// Generates one test for each promise of [`Chain`]. `$make` is an `async fn()
/// -> Option<ChainFixture>`; where it returns `None` the promise is not tested.
#[macro_export]
macro_rules! chain_conformance {
    ($make:path) => {
        $crate::chain_conformance!(@tests $make,
            the_id_is_that_of_the_chain
            the_head_grows_with_the_chain
            balances_are_read
            the_native_token_has_the_reserved_address
        );
    };
    (@tests $make:path, $($promise:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                if let Some(fixture) = $make().await {
                    $crate::chain::$promise(&fixture).await;
                }
            }
        )*
    };
}

/// The id is what the chain says, each time.
pub async fn the_id_is_that_of_the_chain(fixture: &ChainFixture) {
    assert_eq!(fixture.chain.chain_id().await, Ok(fixture.chain_id));
    assert_eq!(fixture.chain.chain_id().await, Ok(fixture.chain_id));
}

/// A new block has the next number and no earlier time.
pub async fn the_head_grows_with_the_chain(fixture: &ChainFixture) {
    let before = fixture.chain.head().await.unwrap();
    (fixture.mine)().await;
    let after = fixture.chain.head().await.unwrap();
    assert!(after.number > before.number);
    assert!(after.timestamp >= before.timestamp);
}

/// Who has something has it, who has nothing has nothing.
pub async fn balances_are_read(fixture: &ChainFixture) {
    assert!(fixture.chain.native_balance(fixture.funded).await.unwrap() > U256::ZERO);
    let nobody = Address::from(rand::random::<[u8; 20]>());
    assert_eq!(fixture.chain.native_balance(nobody).await, Ok(U256::ZERO));
}

/// Clients name the chain's own coin by the zero address.
pub async fn the_native_token_has_the_reserved_address(fixture: &ChainFixture) {
    let token = fixture.chain.native_token();
    assert_eq!(token.address, NATIVE_TOKEN);
    assert_eq!(token.kind, TokenKind::Native);
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn make() -> Option<ChainFixture> {
        let chain = Arc::new(MemoryChain::new(7));
        let funded = Address::repeat_byte(1);
        chain.set_balance(funded, U256::from(5));
        let mined = chain.clone();
        Some(ChainFixture {
            chain,
            chain_id: 7,
            funded,
            mine: Arc::new(move || {
                mined.mine();
                Box::pin(async {})
            }),
            guard: Box::new(()),
        })
    }

    crate::chain_conformance!(make);

    #[tokio::test]
    async fn a_chain_that_is_away_says_so_until_it_is_back() {
        let chain = MemoryChain::new(7);
        chain.set_away(true);
        assert!(matches!(chain.chain_id().await, Err(ChainError::Unavailable(_))));
        chain.set_away(false);
        assert_eq!(chain.chain_id().await, Ok(7));
    }
}
