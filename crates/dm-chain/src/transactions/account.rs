//! The task that owns an account's nonces: every transaction of the account
//! goes through it, one after the other.

use std::{sync::Arc, time::Duration};

use alloy::primitives::{Address, B256, U64, U256};
use dm_core::ports::{ChainError, Signer};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use super::{
    Call, Order,
    fees::{FeeGauge, Fees},
    is_known,
    outstanding::{COUNTED_AFTER, Outstanding},
    refusal::Refusal,
    signing::{SignedTransaction, Terms, sign},
};
use crate::rpc::{Node, RpcFailure};

/// How often a transaction is made anew before it is given up.
const MAX_ATTEMPTS: u32 = 12;
/// Pause before a transaction is made anew; a lagging chain may catch up in it.
const PAUSE: Duration = Duration::from_millis(50);

/// The account's state.
pub(super) struct Account {
    node: Arc<Node>,
    signer: Arc<dyn Signer>,
    fees: FeeGauge,
    outstanding: Outstanding,
}

/// What to do after the chain did not take a transaction.
enum Next {
    /// Give up with this error.
    Stop(ChainError),
    /// The chain has the transaction after all.
    Taken,
    /// Make it anew with a nonce not below this one.
    NonceFrom(u64),
    /// Make it anew after all outstanding ones were given to the chain again.
    AfterGap,
    /// Make it anew with higher fees.
    HigherFees,
}

impl Account {
    /// The account of this signer, with nothing outstanding.
    pub(super) fn new(node: Arc<Node>, signer: Arc<dyn Signer>) -> Self {
        Self {
            node,
            signer,
            fees: FeeGauge::default(),
            outstanding: Outstanding::default(),
        }
    }

    /// Carries out orders until all who could give some are gone.
    pub(super) async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        while let Some(order) = orders.recv().await {
            match order {
                Order::Send {
                    call,
                    gas_limit,
                    answer,
                } => {
                    let result = self.send(&call, gas_limit).await;
                    // Who asked may have gone; the transaction stays sent.
                    let _ = answer.send(result);
                }
                Order::Settled(hash) => self.outstanding.settle(hash),
                Order::Resend(hash) => self.resend(hash).await,
            }
        }
    }

    async fn send(&mut self, call: &Call, gas_limit: u64) -> Result<B256, ChainError> {
        let mut least_nonce = 0;
        let mut raises = 0;
        for attempt in 0..MAX_ATTEMPTS {
            if attempt > 0 {
                sleep(PAUSE).await;
            }
            let chain_id = self.node.known_chain_id().await?;
            let nonce = self.next_nonce().await?.max(least_nonce);
            let fees = self.fees.current(&self.node).await?.raised(raises);
            let terms = Terms {
                chain_id,
                nonce,
                gas_limit,
                fees,
            };
            let transaction = sign(call, terms, self.signer.as_ref())?;
            let next = match broadcast(&self.node, &transaction).await {
                Ok(()) => Next::Taken,
                Err(failure) => self.after(failure, call, terms, &transaction).await?,
            };
            match next {
                Next::Stop(error) => return Err(error),
                Next::Taken => return Ok(self.note(nonce, transaction)),
                Next::NonceFrom(least) => least_nonce = least,
                Next::AfterGap => self.resend_older_than(Duration::ZERO).await?,
                Next::HigherFees => {
                    self.fees.forget();
                    raises += 1;
                }
            }
        }
        Err(ChainError::Refused(
            "the chain refuses every nonce and fee that it asks for".to_owned(),
        ))
    }

    async fn after(
        &self,
        failure: RpcFailure,
        call: &Call,
        terms: Terms,
        transaction: &SignedTransaction,
    ) -> Result<Next, ChainError> {
        let RpcFailure::Refused(payload) = failure else {
            return Ok(Next::Stop(failure.into()));
        };
        tracing::debug!(nonce = terms.nonce, reason = %payload.message, "the chain did not take a transaction");
        let next = match Refusal::of(&payload) {
            Refusal::AlreadyKnown => Next::Taken,
            // The answer to an earlier attempt may have been lost.
            Refusal::NonceTooLow if is_known(&self.node, transaction.hash).await? => Next::Taken,
            Refusal::NonceTooLow | Refusal::NonceTaken => Next::NonceFrom(terms.nonce.saturating_add(1)),
            Refusal::NonceTooHigh => Next::AfterGap,
            Refusal::FeeTooLow => Next::HigherFees,
            Refusal::LackOfFunds => Next::Stop(self.lack_of_funds(call, terms.gas_limit, terms.fees).await),
            Refusal::Other => Next::Stop(ChainError::Refused(crate::rpc::shortened(&payload.message))),
        };
        Ok(next)
    }

    /// The first nonce that is neither used on the chain nor by a transaction
    /// that is still outstanding.
    async fn next_nonce(&mut self) -> Result<u64, ChainError> {
        let counted: U64 = self
            .node
            .read("eth_getTransactionCount", (self.signer.address(), "pending"))
            .await?;
        let counted = counted.to();
        self.outstanding.forget_counted(counted, Instant::now());
        self.resend_older_than(COUNTED_AFTER).await?;
        Ok(self.outstanding.next_nonce().max(counted))
    }

    /// Gives outstanding transactions to the chain again; those that it refuses
    /// for good are dropped, so that their nonces are used again.
    async fn resend_older_than(&mut self, age: Duration) -> Result<(), ChainError> {
        let mut dropped = Vec::new();
        for (nonce, sent) in self.outstanding.older_than(age, Instant::now()) {
            match broadcast(&self.node, &sent.transaction).await {
                Ok(()) => sent.at = Instant::now(),
                Err(RpcFailure::Refused(payload)) if Refusal::of(&payload) == Refusal::AlreadyKnown => {
                    sent.at = Instant::now();
                }
                Err(RpcFailure::Refused(_)) => dropped.push(nonce),
                Err(other) => return Err(other.into()),
            }
        }
        self.outstanding.drop_nonces(&dropped);
        Ok(())
    }

    async fn resend(&mut self, hash: B256) {
        let Some(lost) = self.outstanding.find(hash) else {
            return;
        };
        tracing::info!(%hash, "the chain lost a transaction; sending it again");
        if let Err(failure) = broadcast(&self.node, lost).await {
            // Whoever waits for it looks again, and asks again.
            tracing::debug!(%hash, ?failure, "could not send it again");
        }
    }

    fn note(&mut self, nonce: u64, transaction: SignedTransaction) -> B256 {
        let hash = transaction.hash;
        self.outstanding.note(nonce, transaction, Instant::now());
        hash
    }

    async fn lack_of_funds(&self, call: &Call, gas_limit: u64, fees: Fees) -> ChainError {
        let gas = U256::from(gas_limit).saturating_mul(U256::from(fees.highest()));
        lack_of_funds(&self.node, self.signer.address(), call.value.saturating_add(gas)).await
    }
}

/// The error that an account has less than it needs.
pub(super) async fn lack_of_funds(node: &Node, account: Address, needed: U256) -> ChainError {
    match node.read("eth_getBalance", (account, "latest")).await {
        Ok(balance) => ChainError::InsufficientFunds {
            account,
            balance,
            needed,
        },
        Err(failure) => failure.into(),
    }
}

async fn broadcast(node: &Node, transaction: &SignedTransaction) -> Result<(), RpcFailure> {
    // The hash follows from the bytes; what the chain says it is does not matter.
    let _: serde::de::IgnoredAny = node.send("eth_sendRawTransaction", (&transaction.bytes,)).await?;
    Ok(())
}
