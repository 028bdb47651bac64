//! One chain: requests with time limits, repeated where that may help, and
//! never believed before the chain is known to be the right one.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use alloy::{
    primitives::U64,
    rpc::json_rpc::{RpcRecv, RpcSend},
    transports::{TransportError, TransportErrorKind},
};
use backon::{ExponentialBuilder, Retryable};

use super::{Connection, RpcFailure, failure::is_transient};
use crate::config::ClientConfig;

/// Attempts after the first one.
const MAX_RETRIES: usize = 3;
/// Pause before the second attempt; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// A chain behind a connection.
pub(crate) struct Node {
    connection: Connection,
    request_timeout: Duration,
    patience: Duration,
    identity: Mutex<Identity>,
}

/// What is known about which chain it is.
#[derive(Clone, Copy)]
struct Identity {
    /// The id that was configured or seen first.
    expected: Option<u64>,
    /// Whether the chain had it when it was asked last, and has answered since.
    confirmed: bool,
}

impl Node {
    /// The chain at the end of this connection.
    pub(crate) fn new(connection: Connection, config: &ClientConfig) -> Self {
        Self {
            connection,
            request_timeout: config.request_timeout,
            patience: config.patience,
            identity: Mutex::new(Identity {
                expected: config.chain_id,
                confirmed: false,
            }),
        }
    }

    /// Reads; repeated on errors that pass, so only for requests that change nothing.
    pub(crate) async fn read<P: RpcSend, R: RpcRecv>(
        &self,
        method: &'static str,
        params: P,
    ) -> Result<R, RpcFailure> {
        self.known_chain_id().await?;
        self.repeat(method, params).await
    }

    /// Sends once.
    pub(crate) async fn send<P: RpcSend, R: RpcRecv>(
        &self,
        method: &'static str,
        params: P,
    ) -> Result<R, RpcFailure> {
        self.known_chain_id().await?;
        self.attempt(method, params)
            .await
            .map_err(|error| self.failed(error))
    }

    /// Id of the chain, without asking where it is known.
    pub(crate) async fn known_chain_id(&self) -> Result<u64, RpcFailure> {
        let Identity { expected, confirmed } = *self.identity();
        match expected {
            Some(id) if confirmed => Ok(id),
            _ => self.chain_id().await,
        }
    }

    /// Id of the chain, as it says now.
    pub(crate) async fn chain_id(&self) -> Result<u64, RpcFailure> {
        let found: U64 = self.repeat("eth_chainId", ()).await?;
        let found = found.to();
        let mut identity = self.identity();
        let expected = *identity.expected.get_or_insert(found);
        identity.confirmed = expected == found;
        if identity.confirmed {
            Ok(found)
        } else {
            Err(RpcFailure::WrongChain { expected, found })
        }
    }

    async fn repeat<P: RpcSend, R: RpcRecv>(&self, method: &'static str, params: P) -> Result<R, RpcFailure> {
        let attempts = (|| self.attempt(method, params.clone()))
            .retry(
                ExponentialBuilder::new()
                    .with_min_delay(FIRST_PAUSE)
                    .with_max_times(MAX_RETRIES)
                    .with_jitter(),
            )
            .when(is_transient);
        tokio::time::timeout(self.patience, attempts)
            .await
            .unwrap_or_else(|_| Err(timed_out()))
            .map_err(|error| self.failed(error))
    }

    async fn attempt<P: RpcSend, R: RpcRecv>(
        &self,
        method: &'static str,
        params: P,
    ) -> Result<R, TransportError> {
        let exchange = async { self.connection.client().await?.request(method, params).await };
        let answer = tokio::time::timeout(self.request_timeout, exchange)
            .await
            .unwrap_or_else(|_| Err(timed_out()));
        if let Err(TransportError::Transport(_)) = &answer {
            self.connection.forget();
        }
        answer
    }

    /// After an outage another chain may stand at the same place.
    fn failed(&self, error: TransportError) -> RpcFailure {
        let failure = RpcFailure::from_transport(error);
        if matches!(failure, RpcFailure::Unavailable(_)) {
            self.identity().confirmed = false;
        }
        failure
    }

    fn identity(&self) -> std::sync::MutexGuard<'_, Identity> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn timed_out() -> TransportError {
    TransportErrorKind::custom_str("no answer in time")
}
