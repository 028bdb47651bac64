//! One way to a chain, and what is known about its other end.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use alloy::{
    primitives::U64,
    rpc::json_rpc::{RpcRecv, RpcSend},
    transports::{TransportError, TransportErrorKind},
};
use reqwest::Url;
use tokio::time::Instant;

use super::{Connection, InvalidUrl, failure::reason};
use crate::library::Library;

/// How long an endpoint that failed is asked only where no other answers.
const REST: Duration = Duration::from_secs(30);

/// An endpoint of a chain, as [`EvmClient::endpoints`](crate::EvmClient::endpoints) lists them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointState {
    /// Host and port; the rest of a URL may contain a key.
    pub name: String,
    /// Why it is not used at present.
    pub problem: Option<String>,
}

/// A connection that is not believed before its chain is known to be the right one.
pub(super) struct Endpoint {
    name: String,
    connection: Connection,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Whether the chain had the right id when it was asked last, and has answered since.
    confirmed: bool,
    /// Why it rests, and until when.
    rest: Option<(String, Instant)>,
}

/// Why an endpoint did not answer.
pub(super) enum Trouble {
    /// The transport failed, or the chain refused.
    Transport(TransportError),
    /// It is the end of another chain.
    WrongChain {
        /// Id of that chain.
        found: u64,
    },
}

impl Trouble {
    /// No answer came.
    pub(super) fn timed_out() -> Self {
        Self::Transport(timed_out())
    }

    /// Whether another endpoint would say the same: the chain understood the
    /// request, and has a reason that does not pass.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Transport(TransportError::ErrorResp(payload)) if !payload.is_retry_err())
    }
}

impl Endpoint {
    /// The endpoint at this connection.
    pub(super) fn new(name: String, connection: Connection) -> Self {
        Self {
            name,
            connection,
            state: Mutex::default(),
        }
    }

    /// The endpoint at a URL.
    ///
    /// # Errors
    /// [`InvalidUrl`], with a reason that completes "`<field>` …".
    pub(super) fn at(url: &str, library: &dyn Library) -> Result<Self, InvalidUrl> {
        let url = Url::parse(url).map_err(|error| InvalidUrl::Format(error.to_string()))?;
        let host = url.host_str().unwrap_or_default();
        let name = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        Ok(Self::new(name, library.connect(url)?))
    }

    /// Sends one request.
    pub(super) async fn ask<P: RpcSend, R: RpcRecv>(
        &self,
        method: &'static str,
        params: P,
        timeout: Duration,
    ) -> Result<R, Trouble> {
        let answer = tokio::time::timeout(timeout, self.connection.request(method, params))
            .await
            .unwrap_or_else(|_| Err(timed_out()));
        match answer {
            Ok(answer) => {
                self.state().rest = None;
                Ok(answer)
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Id of its chain, as it says now.
    ///
    /// # Errors
    /// [`Trouble::WrongChain`] where it is not the expected one.
    pub(super) async fn identify(&self, expected: Option<u64>, timeout: Duration) -> Result<u64, Trouble> {
        let found: U64 = self.ask("eth_chainId", (), timeout).await?;
        let found = found.to::<u64>();
        match expected {
            Some(expected) if expected != found => {
                self.leave_out(format!("it is an endpoint of chain {found}, not of {expected}"));
                Err(Trouble::WrongChain { found })
            }
            _ => {
                self.state().confirmed = true;
                Ok(found)
            }
        }
    }

    /// Whether its chain is known to be the right one.
    pub(super) fn is_confirmed(&self) -> bool {
        self.state().confirmed
    }

    /// Whether it failed lately.
    pub(super) fn rests(&self) -> bool {
        let now = Instant::now();
        self.state().rest.as_ref().is_some_and(|(_, until)| *until > now)
    }

    /// After an outage another chain may stand at the same place.
    pub(super) fn doubt(&self) {
        self.state().confirmed = false;
    }

    /// Its name and what is wrong with it.
    pub(super) fn report(&self) -> EndpointState {
        EndpointState {
            name: self.name.clone(),
            problem: self.state().rest.as_ref().map(|(problem, _)| problem.clone()),
        }
    }

    fn failed(&self, error: TransportError) -> Trouble {
        if let TransportError::Transport(kind) = &error {
            self.connection.forget();
            if kind.as_http_error().is_none() {
                self.doubt();
            }
        }
        if !matches!(error, TransportError::ErrorResp(_)) {
            self.rest(reason(&error));
        }
        Trouble::Transport(error)
    }

    fn leave_out(&self, problem: String) {
        tracing::warn!(endpoint = self.name, problem, "an endpoint is left out");
        self.doubt();
        self.rest(problem);
    }

    fn rest(&self, problem: String) {
        self.state().rest = Some((problem, Instant::now() + REST));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn timed_out() -> TransportError {
    TransportErrorKind::custom_str("no answer in time")
}
