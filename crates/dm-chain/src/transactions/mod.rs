//! Transactions of one account, in one queue with its own nonces.
//!
//! [`Transactions`] is the handle, [`account`] the task behind it that decides
//! on nonces, [`outstanding`] what it has sent and not seen mined, [`fees`] knows
//! the price of gas, [`signing`] makes the bytes, and [`refusal`] reads what
//! chains say when they do not take them.

mod account;
mod fees;
mod outstanding;
mod refusal;
mod signing;

use std::{sync::Arc, time::Duration};

use alloy::{
    primitives::{Address, B256, Bytes, U64, U256},
    rpc::json_rpc::ErrorPayload,
};
use dm_core::ports::{ChainError, Signer};
use serde::Serialize;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep},
};

use self::account::Account;
use crate::{
    config::ClientConfig,
    rpc::{Node, RpcFailure},
    wire::TransactionReceipt,
};

/// Transactions that may wait for the account's task before callers wait.
const QUEUE_LENGTH: usize = 1024;
/// Shortest pause between two looks for a transaction.
const FIRST_POLL: Duration = Duration::from_millis(2);
/// The chain is asked whether it still knows a transaction after so many looks.
const LOOKS_BEFORE_DOUBT: u32 = 16;

/// What a transaction shall do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// The contract, or who is paid.
    pub(crate) to: Address,
    /// Selector and arguments.
    pub(crate) input: Bytes,
    /// Wei that are sent along.
    pub(crate) value: U256,
}

/// A call in the form of `eth_call` and `eth_estimateGas`.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct CallRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<Address>,
    pub(crate) to: Address,
    pub(crate) input: Bytes,
    #[serde(skip_serializing_if = "U256::is_zero")]
    pub(crate) value: U256,
}

/// What the account's task is asked to do.
enum Order {
    /// Send a call; the answer is the transaction's hash.
    Send {
        call: Call,
        gas_limit: u64,
        answer: oneshot::Sender<Result<B256, ChainError>>,
    },
    /// A transaction is mined, or given up: it needs no more care.
    Settled(B256),
    /// The chain has lost a transaction: give it to it again.
    Resend(B256),
}

/// Why a call cannot become a transaction.
#[derive(Debug)]
pub(crate) enum SimulationFailure {
    /// The call would be undone.
    Reverted(ErrorPayload),
    /// It could not be tried.
    Chain(ChainError),
}

/// Sends transactions of one account; cheap to clone.
#[derive(Clone)]
pub(crate) struct Transactions {
    node: Arc<Node>,
    account: Address,
    orders: mpsc::Sender<Order>,
    poll_interval: Duration,
    mining_timeout: Duration,
}

impl Transactions {
    /// Starts the account's task; it ends when the last handle is gone. Must be
    /// called within a tokio runtime.
    pub(crate) fn start(node: Arc<Node>, signer: Arc<dyn Signer>, config: &ClientConfig) -> Self {
        let (orders, inbox) = mpsc::channel(QUEUE_LENGTH);
        let account = signer.address();
        tokio::spawn(Account::new(node.clone(), signer).run(inbox));
        Self {
            node,
            account,
            orders,
            poll_interval: config.poll_interval,
            mining_timeout: config.mining_timeout,
        }
    }

    /// The account.
    pub(crate) fn account(&self) -> Address {
        self.account
    }

    /// Tries a call on the chain's pending state and returns the gas that it
    /// needs, with a reserve of a quarter.
    pub(crate) async fn simulate(&self, call: &Call) -> Result<u64, SimulationFailure> {
        let request = CallRequest {
            from: Some(self.account),
            to: call.to,
            input: call.input.clone(),
            value: call.value,
        };
        let gas: U64 = match self.node.read("eth_estimateGas", (request, "pending")).await {
            Ok(gas) => gas,
            Err(RpcFailure::Refused(payload)) if refusal::is_lack_of_funds(&payload) => {
                return Err(SimulationFailure::Chain(self.lack_of_funds(call).await));
            }
            Err(RpcFailure::Refused(payload)) => return Err(SimulationFailure::Reverted(payload)),
            Err(other) => return Err(SimulationFailure::Chain(other.into())),
        };
        let gas = gas.to::<u64>();
        Ok(gas.saturating_add(gas / 4))
    }

    /// Sends a call and returns the transaction's hash, as soon as the chain
    /// has taken it.
    pub(crate) async fn send(&self, call: Call, gas_limit: u64) -> Result<B256, ChainError> {
        let (answer, receiver) = oneshot::channel();
        let order = Order::Send {
            call,
            gas_limit,
            answer,
        };
        self.orders.send(order).await.map_err(|_| stopped())?;
        receiver.await.map_err(|_| stopped())?
    }

    /// Waits until a transaction is mined.
    ///
    /// # Errors
    /// [`ChainError::NotMined`] after the configured time.
    pub(crate) async fn wait(&self, hash: B256) -> Result<TransactionReceipt, ChainError> {
        let deadline = Instant::now() + self.mining_timeout;
        let mut pause = FIRST_POLL;
        let mut looks = 0u32;
        loop {
            if let Some(receipt) = receipt(&self.node, hash).await? {
                self.order(Order::Settled(hash)).await;
                return Ok(receipt);
            }
            looks += 1;
            let is_lost = looks.is_multiple_of(LOOKS_BEFORE_DOUBT) && !is_known(&self.node, hash).await?;
            if Instant::now() >= deadline {
                self.order(Order::Settled(hash)).await;
                return Err(ChainError::NotMined(hash));
            }
            if is_lost {
                self.order(Order::Resend(hash)).await;
            }
            sleep(pause).await;
            pause = (pause * 2).min(self.poll_interval);
        }
    }

    async fn order(&self, order: Order) {
        // Where the task is gone the runtime is stopping, and there is nothing left to care for.
        let _ = self.orders.send(order).await;
    }

    async fn lack_of_funds(&self, call: &Call) -> ChainError {
        account::lack_of_funds(&self.node, self.account, call.value).await
    }
}

/// The receipt of a mined transaction.
pub(crate) async fn receipt(node: &Node, hash: B256) -> Result<Option<TransactionReceipt>, RpcFailure> {
    let receipt: Option<TransactionReceipt> = node.read("eth_getTransactionReceipt", (hash,)).await?;
    match receipt {
        Some(receipt) if receipt.transaction_hash != hash => Err(RpcFailure::nonsense()),
        Some(receipt) if receipt.block_number.is_some() => Ok(Some(receipt)),
        _ => Ok(None),
    }
}

/// Whether the chain has the transaction, mined or waiting.
pub(crate) async fn is_known(node: &Node, hash: B256) -> Result<bool, RpcFailure> {
    let transaction: Option<serde::de::IgnoredAny> = node.read("eth_getTransactionByHash", (hash,)).await?;
    Ok(transaction.is_some())
}

fn stopped() -> ChainError {
    ChainError::Unavailable("the client was stopped".to_owned())
}
