//! Does what the queue wants done.

use std::sync::Arc;

use alloy::primitives::{Address, B256, Bytes, U64};
use dm_core::ports::{ChainError, Signer};
use futures::{StreamExt, stream};
use tokio::sync::Semaphore;

use super::{
    journal::{Journal, Mined},
    meter::TransactionMeter,
    price::price_after,
    queue::{Action, ChainSnapshot, Event, Outcome, SnapshotQuery},
    receipt::receipt,
    rejection::Rejection,
};
use crate::{
    backend::{EvmBackend, amount_received},
    rpc::{Node, RpcFailure},
    text::shortened,
    tx::{ExpectedTransfer, SigningJob, Version},
    wire::BlockHeader,
};

/// Transactions that are being sent at the same time. A chain may answer only
/// when it has mined one.
const MAX_SENDS: usize = 256;
/// Receipts that are asked for at the same time.
const MAX_FETCHES: usize = 32;

/// What is needed for it.
#[derive(Clone)]
pub(super) struct Performer {
    pub(super) node: Arc<Node>,
    pub(super) backend: &'static dyn EvmBackend,
    pub(super) signer: Arc<dyn Signer>,
    pub(super) chain_id: u64,
    pub(super) journal: Journal,
    meter: Arc<TransactionMeter>,
    sends: Arc<Semaphore>,
}

impl Performer {
    pub(super) fn new(
        node: Arc<Node>,
        backend: &'static dyn EvmBackend,
        signer: Arc<dyn Signer>,
        chain_id: u64,
        journal: Journal,
        meter: Arc<TransactionMeter>,
    ) -> Self {
        Self {
            node,
            backend,
            signer,
            chain_id,
            journal,
            meter,
            sends: Arc::new(Semaphore::new(MAX_SENDS)),
        }
    }

    /// Does it, and says what came of it; answers are not its business.
    pub(super) async fn perform(self, action: Action) -> Option<Event> {
        Some(match action {
            Action::Look(wanted) => Event::Looked(self.look(wanted).await.map_err(ChainError::from)),
            Action::Fetch(hashes) => Event::Fetched(self.fetch(hashes).await),
            Action::Sign(jobs) => Event::Signed(self.sign(jobs).await),
            Action::Write(change) => {
                let result = self.journal.write(change).await;
                Event::Written(result.map_err(|error| error.to_string()))
            }
            Action::Send { hash, bytes } => Event::Sent {
                hash,
                outcome: self.send(&bytes).await,
            },
            Action::FillGap(_) | Action::Answer(..) => return None,
        })
    }

    fn account(&self) -> Address {
        self.signer.address()
    }

    async fn look(&self, wanted: SnapshotQuery) -> Result<ChainSnapshot, RpcFailure> {
        let count = |block: String| {
            let params = (self.account(), block);
            self.node.read::<_, U64>("eth_getTransactionCount", params)
        };
        let head = async {
            let head: BlockHeader = self.node.read("eth_getBlockByNumber", ("latest", false)).await?;
            let price = match wanted.price {
                true => Some(price_after(&self.node, &head).await?),
                false => None,
            };
            Ok((head.number.to::<u64>(), price))
        };
        let block = async {
            match wanted.block {
                Some(number) => self.hash_of_block(number).await,
                None => Ok(None),
            }
        };
        // Not every node has every old block.
        let landmark = async {
            match wanted.landmark {
                Some(number) => self.hash_of_block(number).await.ok().flatten(),
                None => None,
            }
        };
        let count_at = async {
            match wanted.count_at {
                // Not every node still has the state of that block.
                Some(number) => count(format!("{number:#x}")).await.ok(),
                None => None,
            }
        };
        let balance = async {
            match wanted.balance {
                true => self
                    .node
                    .read("eth_getBalance", (self.account(), "latest"))
                    .await
                    .map(Some),
                false => Ok(None),
            }
        };
        let (latest, pending) = (count("latest".to_owned()), count("pending".to_owned()));
        let waits = futures::future::join3(count_at, landmark, async {
            futures::try_join!(head, block, balance, latest, pending)
        });
        let (count_at, landmark, rest) = waits.await;
        let ((height, price), block, balance, count, pending) = rest?;
        Ok(ChainSnapshot {
            height,
            count: count.to(),
            pending: pending.to(),
            block,
            landmark,
            count_at: count_at.map(|count| count.to()),
            price,
            balance,
        })
    }

    async fn hash_of_block(&self, number: u64) -> Result<Option<B256>, RpcFailure> {
        let params = (U64::from(number), false);
        let block: Option<BlockHeader> = self.node.read("eth_getBlockByNumber", params).await?;
        Ok(block.and_then(|block| block.hash))
    }

    async fn fetch(&self, hashes: Vec<(B256, ExpectedTransfer)>) -> Vec<(B256, Option<Mined>)> {
        let receipts = stream::iter(hashes).map(|(hash, transfer)| async move {
            let mined = match receipt(&self.node, hash).await {
                Ok(Some(receipt)) => {
                    self.meter.mined(&receipt);
                    Some(Mined {
                        hash,
                        block: receipt.block_number?.to(),
                        block_hash: receipt.block_hash?,
                        succeeded: receipt.succeeded(),
                        received: amount_received(self.backend, transfer, receipt.succeeded(), &receipt.logs),
                    })
                }
                Ok(None) => None,
                Err(_) => return None,
            };
            Some((hash, mined))
        });
        receipts
            .buffer_unordered(MAX_FETCHES)
            .filter_map(std::future::ready)
            .collect()
            .await
    }

    async fn sign(&self, jobs: Vec<SigningJob>) -> Result<Vec<Version>, ChainError> {
        let (backend, signer, chain_id) = (self.backend, self.signer.clone(), self.chain_id);
        let work = move || {
            jobs.iter()
                .map(|job| backend.sign(job, chain_id, signer.as_ref()))
                .collect()
        };
        let signed = tokio::task::spawn_blocking(work).await;
        signed.unwrap_or_else(|_| Err(ChainError::Unavailable("signing was cut off".to_owned())))
    }

    async fn send(&self, bytes: &Bytes) -> Outcome {
        let Ok(_permit) = self.sends.acquire().await else {
            return Outcome::Unknown(stopped());
        };
        // The hash follows from the bytes; what the chain says it is does not matter.
        let answer = self
            .node
            .send::<_, serde::de::IgnoredAny>("eth_sendRawTransaction", (bytes,));
        let payload = match answer.await {
            Ok(_) => return Outcome::Taken,
            Err(RpcFailure::Refused(payload)) => payload,
            Err(other) => return Outcome::Unknown(other.into()),
        };
        let reason = ChainError::Refused(shortened(&payload.message));
        match Rejection::of(&payload) {
            Rejection::AlreadyKnown => Outcome::Taken,
            Rejection::NonceTooLow => Outcome::NonceTooLow,
            Rejection::NonceTaken => Outcome::NonceTaken,
            Rejection::NonceTooHigh => Outcome::NonceTooHigh,
            Rejection::FeeTooLow => Outcome::FeeTooLow,
            Rejection::NoRoom => Outcome::NoRoom,
            Rejection::LackOfFunds => Outcome::LackOfFunds(reason),
            Rejection::Invalid => Outcome::Invalid(reason),
            Rejection::Other => Outcome::Refused(reason),
        }
    }
}

/// Nobody carries out what the client is asked any more.
pub(super) fn stopped() -> ChainError {
    ChainError::Unavailable("the client was stopped".to_owned())
}
