//! A real EVM chain inside the process, for development and for nodes that need
//! no outside chain.
//!
//! [`EmbeddedChain`] mines a block of all waiting transactions as soon as one
//! arrives, by the rules of Ethereum's Osaka fork, and keeps everything in a
//! [`KeyValueStore`]. alloy reaches it in the process through
//! [`EmbeddedTransport`]; other programs through the port
//! [`dm_core::ports::JsonRpc`].
//!
//! What differs from Ethereum, so that nobody relies on it:
//!
//! - There is no consensus: a block is final when it is there. `safe`,
//!   `finalized` and `pending` are the newest block.
//! - Blocks of the same second have the same timestamp.
//! - The header's state root is a hash over the parent's state root and the
//!   changes of the block, not a Merkle Patricia root. All other roots and the
//!   block hash are Ethereum's.
//! - The system calls of EIP-2935 and EIP-4788 are not made.
//! - Blob and authorisation transactions (types 3 and 4) are refused.
//! - The CREATE2 proxy is there from block 0 on; the transaction that deploys it
//!   elsewhere cannot be found, and is refused as one that was mined.
//! - State can be read of the newest 64 blocks since the chain was opened.

mod admission;
mod block;
mod builder;
mod chain;
mod error;
mod evm;
mod genesis;
mod json_rpc;
mod miner;
mod pool;
mod queue;
mod rpc;
mod simulate;
mod state;
mod storage;
mod transport;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use alloy::rpc::client::RpcClient;
use dm_core::ports::KeyValueStore;
use tokio::runtime::Handle;

use self::{chain::Chain, rpc::Methods, storage::ChainStore};
pub use self::{
    error::EmbeddedChainError,
    genesis::{CREATE2_PROXY, DEV_ACCOUNTS, DEV_CHAIN_ID, DEV_MNEMONIC, Genesis},
    transport::EmbeddedTransport,
};

/// An EVM chain in the process; cheap to clone. Its mining thread ends with
/// the last clone and the last transport.
#[derive(Clone)]
pub struct EmbeddedChain(Arc<Running>);

struct Running {
    chain: Arc<Chain>,
    methods: Methods,
    miner: Mutex<Option<JoinHandle<()>>>,
}

impl EmbeddedChain {
    /// Continues the chain that the store keeps, or begins one from `genesis`.
    /// The time this takes does not depend on the height. Must be called in a
    /// tokio runtime, which has to live as long as the chain.
    ///
    /// # Errors
    /// [`EmbeddedChainError::WrongChain`] where the store keeps a chain with
    /// another id, [`EmbeddedChainError::Damaged`] where it cannot be read.
    pub async fn open(store: Arc<dyn KeyValueStore>, genesis: Genesis) -> Result<Self, EmbeddedChainError> {
        let runtime = Handle::current();
        let store = ChainStore::new(store, runtime.clone());
        let chain = runtime.spawn_blocking(move || Chain::open(store, &genesis)).await;
        let chain = Arc::new(chain.map_err(|_| EmbeddedChainError::Damaged("opening it was cut off"))??);
        let miner = miner::start(Arc::clone(&chain))?;
        let methods = Methods::new(Arc::clone(&chain));
        Ok(Self(Arc::new(Running {
            chain,
            methods,
            miner: Mutex::new(Some(miner)),
        })))
    }

    /// A transport for alloy's clients.
    pub fn transport(&self) -> EmbeddedTransport {
        EmbeddedTransport::new(self.clone())
    }

    /// A client over [`EmbeddedChain::transport`].
    pub fn client(&self) -> RpcClient {
        RpcClient::new(self.transport(), true)
    }

    /// EIP-155 id of the chain.
    pub fn chain_id(&self) -> u64 {
        self.0.chain.chain_id
    }

    /// Takes no more transactions, and returns when the block in progress is
    /// durable. What still waited for a block is gone.
    pub async fn close(&self) {
        self.0.chain.queue.close();
        let miner = self.0.miner.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(miner) = miner {
            let ended = tokio::task::spawn_blocking(move || miner.join().is_ok()).await;
            if !matches!(ended, Ok(true)) {
                tracing::error!("the mining thread did not end well");
            }
        }
    }

    fn methods(&self) -> &Methods {
        &self.0.methods
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.chain.queue.close();
    }
}

impl fmt::Debug for EmbeddedChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedChain")
            .field("chain_id", &self.chain_id())
            .finish_non_exhaustive()
    }
}
