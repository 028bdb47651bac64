//! One chain behind one or several endpoints: requests with time limits,
//! repeated where that may help, and never believed before an endpoint is known
//! to belong to the right chain.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use alloy::rpc::json_rpc::{RpcRecv, RpcSend};
use backon::{ExponentialBuilder, Retryable};
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{
    Connect, Connection, EndpointState, InvalidUrl, RpcFailure,
    endpoint::Endpoint,
    failure::{Trouble, Troubles},
};
use crate::config::ClientConfig;

/// Attempts after the first one.
const MAX_RETRIES: usize = 3;
/// Pause before the second attempt; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// A chain behind its endpoints.
pub(crate) struct Node {
    endpoints: Mutex<Arc<[Endpoint]>>,
    /// The chain's id: the one that was configured or seen first.
    chain_id: OnceLock<u64>,
    connect: Connect,
    request_timeout: Duration,
    patience: Duration,
}

impl Node {
    /// The chain at the end of this connection; `connect` is for URLs that it is moved to.
    pub(crate) fn over(connection: Connection, connect: Connect, config: &ClientConfig) -> Self {
        let endpoint = Endpoint::new("this process".to_owned(), connection);
        Self::new([endpoint].into(), connect, config)
    }

    /// The chain at these URLs; the first are preferred.
    ///
    /// # Errors
    /// [`InvalidUrl`], with a reason that completes "`<field>` …".
    pub(crate) fn at<U: AsRef<str>>(
        urls: &[U],
        connect: Connect,
        config: &ClientConfig,
    ) -> Result<Self, InvalidUrl> {
        Ok(Self::new(endpoints_at(urls, connect)?, connect, config))
    }

    fn new(endpoints: Arc<[Endpoint]>, connect: Connect, config: &ClientConfig) -> Self {
        Self {
            endpoints: Mutex::new(endpoints),
            chain_id: config.chain_id.map(OnceLock::from).unwrap_or_default(),
            connect,
            request_timeout: config.request_timeout,
            patience: config.patience,
        }
    }

    /// Uses other endpoints from now on, once all of them have answered that
    /// they belong to this chain. Requests that are under way end where they began.
    pub(crate) async fn switch<U: AsRef<str>>(&self, urls: &[U]) -> Result<(), SwitchFailure> {
        let endpoints = endpoints_at(urls, self.connect).map_err(SwitchFailure::Url)?;
        for endpoint in endpoints.iter() {
            self.identify(endpoint).await.map_err(|trouble| {
                let mut alone = Troubles::default();
                alone.add(endpoint.name(), trouble);
                SwitchFailure::Chain(self.failure_of(alone))
            })?;
        }
        *self.endpoints.lock().unwrap_or_else(PoisonError::into_inner) = endpoints;
        Ok(())
    }

    /// What is known of each endpoint.
    pub(crate) fn report(&self) -> Vec<EndpointState> {
        self.endpoints().iter().map(Endpoint::report).collect()
    }

    /// Reads; repeated on errors that pass, so only for requests that change nothing.
    pub(crate) async fn read<P: RpcSend, R: RpcRecv>(
        &self,
        method: &'static str,
        params: P,
    ) -> Result<R, RpcFailure> {
        // Boxed: a caller may make many of them one large future.
        self.repeat(|| Box::pin(self.ask_one(method, params.clone())))
            .await
    }

    /// Sends what may be given to several endpoints, since it is the same
    /// everywhere; to each once, until one answers.
    pub(crate) async fn send<P: RpcSend, R: RpcRecv>(
        &self,
        method: &'static str,
        params: P,
    ) -> Result<R, RpcFailure> {
        Box::pin(self.ask_one(method, params))
            .await
            .map_err(|troubles| self.failure_of(troubles))
    }

    /// Id of the chain, without asking where it is known.
    pub(crate) async fn known_chain_id(&self) -> Result<u64, RpcFailure> {
        match self.chain_id.get() {
            Some(id) if self.endpoints().iter().any(Endpoint::is_confirmed) => Ok(*id),
            _ => self.chain_id().await,
        }
    }

    /// Id of the chain, as it says now.
    pub(crate) async fn chain_id(&self) -> Result<u64, RpcFailure> {
        self.repeat(|| self.identify_one()).await
    }

    /// Asks the endpoint for its chain; says whether that is this one, and notes it.
    pub(crate) async fn confirm(&self, endpoint: &Endpoint) -> bool {
        self.identify(endpoint).await.is_ok()
    }

    /// Asks one endpoint, whose record then says whether it serves the method.
    pub(crate) async fn probe(&self, endpoint: &Endpoint, method: &'static str, params: Value) {
        let answer = self.ask_at::<_, IgnoredAny>(endpoint, method, params).await;
        if let Err(trouble) = answer {
            tracing::debug!(
                endpoint = endpoint.name(),
                method,
                ?trouble,
                "a probe was not answered"
            );
        }
    }

    async fn repeat<R, F: Future<Output = Result<R, Troubles>>>(
        &self,
        attempt: impl FnMut() -> F,
    ) -> Result<R, RpcFailure> {
        let attempts = attempt
            .retry(
                ExponentialBuilder::new()
                    .with_min_delay(FIRST_PAUSE)
                    .with_max_times(MAX_RETRIES)
                    .with_jitter(),
            )
            .when(Troubles::pass);
        tokio::time::timeout(self.patience, attempts)
            .await
            .unwrap_or_else(|_| Err(Troubles::timed_out()))
            .map_err(|troubles| self.failure_of(troubles))
    }

    /// The answer of the first endpoint that gives one.
    async fn ask_one<P: RpcSend, R: RpcRecv>(&self, method: &'static str, params: P) -> Result<R, Troubles> {
        let mut troubles = Troubles::default();
        let endpoints = self.endpoints();
        for endpoint in in_order(&endpoints, method) {
            match self.ask_at(endpoint, method, params.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(trouble) => troubles.add(endpoint.name(), trouble),
            }
            if troubles.are_final() {
                break;
            }
        }
        Err(troubles)
    }

    async fn identify_one(&self) -> Result<u64, Troubles> {
        let mut troubles = Troubles::default();
        let endpoints = self.endpoints();
        for endpoint in in_order(&endpoints, "eth_chainId") {
            match self.identify(endpoint).await {
                Ok(id) => return Ok(id),
                Err(trouble) => troubles.add(endpoint.name(), trouble),
            }
        }
        Err(troubles)
    }

    async fn ask_at<P: RpcSend, R: RpcRecv>(
        &self,
        endpoint: &Endpoint,
        method: &'static str,
        params: P,
    ) -> Result<R, Trouble> {
        if !endpoint.is_confirmed() {
            self.identify(endpoint).await?;
        }
        endpoint.ask(method, params, self.request_timeout).await
    }

    async fn identify(&self, endpoint: &Endpoint) -> Result<u64, Trouble> {
        let found = endpoint
            .identify(self.chain_id.get().copied(), self.request_timeout)
            .await?;
        match *self.chain_id.get_or_init(|| found) {
            expected if expected == found => Ok(found),
            // Another request was first, at an endpoint of another chain.
            expected => Err(endpoint.leave_out(found, expected)),
        }
    }

    /// After an outage another chain may stand at the same place.
    fn failure_of(&self, troubles: Troubles) -> RpcFailure {
        if troubles.are_an_outage() {
            self.endpoints().iter().for_each(Endpoint::doubt);
        }
        troubles.into_failure(self.chain_id.get().copied())
    }

    /// The endpoints, the preferred one first.
    pub(crate) fn endpoints(&self) -> Arc<[Endpoint]> {
        self.endpoints
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Why a node stays with the endpoints that it has.
pub(crate) enum SwitchFailure {
    /// A URL is none.
    Url(InvalidUrl),
    /// An endpoint does not answer, or belongs to another chain.
    Chain(RpcFailure),
}

fn endpoints_at<U: AsRef<str>>(urls: &[U], connect: Connect) -> Result<Arc<[Endpoint]>, InvalidUrl> {
    if urls.is_empty() {
        return Err(InvalidUrl::Format("empty".to_owned()));
    }
    urls.iter()
        .map(|url| Endpoint::at(url.as_ref(), connect))
        .collect()
}

/// Those that answered this last before those that did not.
fn in_order<'a>(endpoints: &'a [Endpoint], method: &str) -> Vec<&'a Endpoint> {
    let mut order: Vec<_> = endpoints.iter().collect();
    order.sort_by_cached_key(|endpoint| endpoint.avoids(method));
    order
}
