//! Issues a token on a chain in this process, pays with it, and prints what came of it:
//! `cargo run -p dm-chain --example pay_a_token`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use alloy::{
    primitives::{Address, B256, Signature, U256},
    signers::{SignerSync, local::PrivateKeySigner},
};
use async_trait::async_trait;
use bytes::Bytes;
use dm_chain::{
    ClientConfig, ClientDeps, EvmClient,
    embedded::{EmbeddedChain, Genesis},
};
use dm_core::{
    operation::{Operation, OperationId},
    ports::{
        KeyValueStore, MinedOperation, OperationState, Operations, Signer, SignerError, StoreError, Tokens,
        WriteBatch,
    },
};
use tokio::sync::Mutex;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let operator = Arc::new(Operator(PrivateKeySigner::random()));
    let genesis = Genesis::funding([operator.address()]);
    let chain = EmbeddedChain::open(Arc::new(Store::default()), genesis).await?;

    let mut config = ClientConfig::default();
    // The embedded chain never takes a block back. For another chain, keep the default,
    // and pass `ChainAccess::urls([…])` in the place of `&chain`.
    config.confirmations = 0;
    let deps = ClientDeps::new(&chain, operator, Arc::new(Store::default()));
    let client = EvmClient::start(config, deps)?;

    let issue = Operation::IssueToken {
        name: "Data credit".to_owned(),
        symbol: "DATA".to_owned(),
        decimals: 6,
        initial_supply: U256::from(1_000_000),
    };
    let token = perform(&client, &issue)
        .await?
        .contract
        .ok_or("the chain made no contract")?;

    let to = Address::repeat_byte(0x42);
    let payment = Operation::Transfer {
        token,
        to,
        amount: U256::from(250),
    };
    let receipt = perform(&client, &payment).await?;
    println!("transaction {} is in block {}", receipt.tx_hash, receipt.block);
    println!("{to} got {} of token {token}", receipt.received);
    assert_eq!(client.balance_of(token, to).await?, U256::from(250));

    chain.close().await;
    Ok(())
}

/// Does an operation and waits until it is final.
async fn perform(client: &EvmClient, operation: &Operation) -> Result<MinedOperation> {
    // Under one id it happens at most once, however often it is begun.
    let id = OperationId::random();
    client.begin(id, operation).await?;
    match client.wait(id, Duration::from_secs(30)).await? {
        Some(OperationState::Mined(mined)) if mined.succeeded => {
            client.conclude(id).await?;
            Ok(mined)
        }
        state => Err(format!("the operation has come to this: {state:?}").into()),
    }
}

/// The account that acts. A node keeps its key encrypted.
struct Operator(PrivateKeySigner);

impl Signer for Operator {
    fn address(&self) -> Address {
        self.0.address()
    }

    fn sign_hash(&self, hash: &B256) -> std::result::Result<Signature, SignerError> {
        let signature = self.0.sign_hash_sync(hash);
        signature.map_err(|error| SignerError::Failed(error.to_string()))
    }
}

/// Keeps the chain, or what the account has begun. A node takes a store that outlives
/// the process.
#[derive(Default)]
struct Store(Mutex<BTreeMap<Bytes, Bytes>>);

#[async_trait]
impl KeyValueStore for Store {
    async fn get(&self, key: &[u8]) -> std::result::Result<Option<Bytes>, StoreError> {
        Ok(self.0.lock().await.get(key).cloned())
    }

    async fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> std::result::Result<Vec<(Bytes, Bytes)>, StoreError> {
        let first = Bytes::copy_from_slice(after.unwrap_or(prefix).max(prefix));
        let entries = self.0.lock().await;
        let found = entries
            .range(first..)
            .filter(|(key, _)| after.is_none_or(|after| key.as_ref() > after))
            .take_while(|(key, _)| key.starts_with(prefix));
        Ok(found
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }

    async fn commit(&self, batch: WriteBatch) -> std::result::Result<(), StoreError> {
        let mut entries = self.0.lock().await;
        let has = |(key, value): &(Bytes, Option<Bytes>)| entries.get(key) == value.as_ref();
        if !batch.expected.iter().all(has) {
            return Err(StoreError::Conflict);
        }
        for (key, value) in batch.changes {
            match value {
                Some(value) => entries.insert(key, value),
                None => entries.remove(&key),
            };
        }
        Ok(())
    }
}
