//! The JSON-RPC methods of an Ethereum node, as far as clients and tools need them.

mod accounts;
mod blocks;
mod convert;
mod error;
mod fees;
mod filters;
mod logs;
mod params;
mod transactions;

use std::{sync::Arc, time::Duration};

use alloy::primitives::{Address, B256, U64};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::Semaphore;

pub(super) use self::error::RpcError;
use self::{filters::Filters, params::Params, transactions::Submitted};
use super::chain::Chain;

/// How long sending waits for the block, before it answers without.
const MINING_TIMEOUT: Duration = Duration::from_secs(2);
/// EIP-7966: the transaction waits, and was not mined in time.
const NOT_MINED_IN_TIME: i64 = 4;

type Answer = Result<Box<RawValue>, RpcError>;

/// Answers requests; whatever executes code or reads the store does so on the
/// threads for blocking work, a few at a time.
pub(super) struct Methods {
    chain: Arc<Chain>,
    filters: Arc<Filters>,
    permits: Arc<Semaphore>,
}

impl Methods {
    pub(super) fn new(chain: Arc<Chain>) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            chain,
            filters: Arc::default(),
            permits: Arc::new(Semaphore::new(2 * cores)),
        }
    }

    /// The result of one call as JSON text.
    pub(super) async fn answer(&self, method: &str, params: Option<&RawValue>) -> Answer {
        match method {
            "web3_clientVersion" => json(concat!("dm-chain/v", env!("CARGO_PKG_VERSION"))),
            "net_version" => json(self.chain.chain_id.to_string()),
            "net_listening" => json(true),
            "eth_chainId" => json(U64::from(self.chain.chain_id)),
            "eth_blockNumber" => json(U64::from(self.chain.head().block.header.number)),
            "eth_gasPrice" => json(fees::gas_price(&self.chain)),
            "eth_maxPriorityFeePerGas" => json(fees::tip()),
            // Keys are never here: transactions come signed.
            "eth_accounts" => json(<[Address; 0]>::default()),
            "eth_syncing" => json(false),
            "evm_mine" => self.mine().await,
            "eth_sendRawTransaction" => self.send(params).await,
            "eth_sendRawTransactionSync" => self.send_and_wait(params).await,
            _ => self.read(method, params).await,
        }
    }

    async fn read(&self, method: &str, params: Option<&RawValue>) -> Answer {
        if let Some(answer) = filters::answers(method) {
            let filters = Arc::clone(&self.filters);
            return self
                .blocking(params, move |chain, params| answer(&filters, chain, params))
                .await;
        }
        let read = reader(method).ok_or_else(|| RpcError::unknown_method(method))?;
        self.blocking(params, read).await
    }

    async fn send(&self, params: Option<&RawValue>) -> Answer {
        let submitted = self.submit(params).await?;
        if let Some(mined) = submitted.mined {
            // What is not mined in time waits on: its sender can look for it.
            let _ = tokio::time::timeout(MINING_TIMEOUT, mined).await;
        }
        json(submitted.hash)
    }

    async fn submit(&self, params: Option<&RawValue>) -> Result<Submitted, RpcError> {
        let submitted = self.blocking(params, transactions::send_raw).await?;
        self.filters.sent(submitted.hash);
        Ok(submitted)
    }

    async fn send_and_wait(&self, params: Option<&RawValue>) -> Answer {
        let submitted = self.submit(params).await?;
        let hash = submitted.hash;
        let mined = match submitted.mined {
            Some(mined) => matches!(tokio::time::timeout(MINING_TIMEOUT, mined).await, Ok(Ok(()))),
            None => false,
        };
        if !mined {
            let error = RpcError::new(
                NOT_MINED_IN_TIME,
                "the transaction waits and was not mined in time".into(),
            );
            return Err(error.with_hex_data(hash.as_slice()));
        }
        self.blocking(None, move |chain, _| json(transactions::receipt(chain, &hash)?))
            .await
    }

    async fn mine(&self) -> Answer {
        self.chain
            .queue
            .force()
            .await
            .map_err(|_| RpcError::refused("the chain is shutting down"))?;
        json(U64::ZERO)
    }

    async fn blocking<T, Work>(&self, params: Option<&RawValue>, work: Work) -> Result<T, RpcError>
    where
        T: Send + 'static,
        Work: FnOnce(&Chain, &Params<'_>) -> Result<T, RpcError> + Send + 'static,
    {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(RpcError::internal)?;
        let chain = Arc::clone(&self.chain);
        let params = params.map(ToOwned::to_owned);
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(&chain, &Params::parse(params.as_deref())?)
        });
        task.await.map_err(RpcError::internal)?
    }
}

type Reader = fn(&Chain, &Params<'_>) -> Answer;

/// The methods that look at the chain.
fn reader(method: &str) -> Option<Reader> {
    Some(match method {
        "eth_getBalance" => |chain, params| json(accounts::balance(chain, params)?),
        "eth_getTransactionCount" => |chain, params| json(accounts::transaction_count(chain, params)?),
        "eth_getCode" => |chain, params| json(accounts::code(chain, params)?),
        "eth_getStorageAt" => |chain, params| json(accounts::storage(chain, params)?),
        "eth_call" => |chain, params| json(accounts::call(chain, params)?),
        "eth_estimateGas" => |chain, params| json(accounts::estimate_gas(chain, params)?),
        "eth_feeHistory" => |chain, params| json(fees::history(chain, params)?),
        "eth_getTransactionByHash" => |chain, params| json(transactions::by_hash(chain, params)?),
        "eth_getTransactionReceipt" => {
            |chain, params| json(transactions::receipt(chain, &params.required::<B256>(0)?)?)
        }
        "eth_getBlockByNumber" => |chain, params| json(blocks::by_number(chain, params)?),
        "eth_getBlockByHash" => |chain, params| json(blocks::by_hash(chain, params)?),
        "eth_getBlockReceipts" => |chain, params| json(blocks::receipts(chain, params)?),
        "eth_getLogs" => |chain, params| json(logs::find(chain, params)?),
        _ => return None,
    })
}

fn json(value: impl Serialize) -> Answer {
    to_raw_value(&value).map_err(RpcError::internal)
}
