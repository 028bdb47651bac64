//! One way to a chain, and what is known about its other end.

use std::{
    borrow::Cow,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use alloy::{
    primitives::U64,
    rpc::json_rpc::{ErrorPayload, Response, ResponsePayload, RpcError, RpcRecv, RpcSend},
    transports::{HttpError, TransportError, TransportErrorKind},
};
use reqwest::Url;

use super::{
    Connect, Connection, InvalidUrl,
    error_origin::{ErrorOrigin, Objection, objection_of_page, origin_of_error},
    failure::{NONSENSE, Trouble},
    record::{Cause, MethodFailure, Record},
    secrets::Secrets,
};
use crate::text::{printable, shortened};

/// An endpoint of a chain, as [`EvmClient::endpoints`](crate::EvmClient::endpoints) lists them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointState {
    /// Host and port; the rest of a URL may contain a key.
    pub name: String,
    /// What it did not answer when it was asked last, and why.
    pub problem: Option<String>,
}

/// A connection that is not believed before its chain is known to be the right one.
pub(crate) struct Endpoint {
    name: String,
    secrets: Secrets,
    connection: Connection,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Whether the chain had the right id when it was asked last, and has answered since.
    confirmed: bool,
    record: Record,
}

impl Endpoint {
    /// The endpoint at this connection.
    pub(super) fn new(name: String, connection: Connection) -> Self {
        Self {
            name,
            secrets: Secrets::default(),
            connection,
            state: Mutex::default(),
        }
    }

    /// The endpoint at a URL.
    ///
    /// # Errors
    /// [`InvalidUrl`], with a reason that completes "`<field>` …".
    pub(super) fn at(url: &str, connect: Connect) -> Result<Self, InvalidUrl> {
        let url = Url::parse(url).map_err(|error| InvalidUrl::Format(error.to_string()))?;
        let host = url.host_str().unwrap_or_default();
        let name = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        Ok(Self {
            secrets: Secrets::of(&url),
            ..Self::new(name, connect(url)?)
        })
    }

    /// Host and port.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Sends one request.
    pub(super) async fn ask<P: RpcSend, R: RpcRecv>(
        &self,
        method: &'static str,
        params: P,
        timeout: Duration,
    ) -> Result<R, Trouble> {
        let answer = tokio::time::timeout(timeout, self.connection.request(method, params)).await;
        let trouble = match answer {
            Ok(Ok(answer)) => {
                self.state().record.answered(method);
                return Ok(answer);
            }
            Ok(Err(error)) => self.trouble(method, error),
            Err(_) => {
                self.connection.forget();
                Trouble::timed_out()
            }
        };
        self.note(method, &trouble);
        Err(trouble)
    }

    /// Id of its chain, as it says now.
    ///
    /// # Errors
    /// [`Trouble::WrongChain`] where it is not the expected one.
    pub(super) async fn identify(&self, expected: Option<u64>, timeout: Duration) -> Result<u64, Trouble> {
        let found: U64 = self.ask("eth_chainId", (), timeout).await?;
        let found = found.to::<u64>();
        match expected {
            Some(expected) if expected != found => Err(self.leave_out(found, expected)),
            _ => {
                self.state().confirmed = true;
                Ok(found)
            }
        }
    }

    /// Leaves it out, since it belongs to the chain `found`.
    pub(super) fn leave_out(&self, found: u64, expected: u64) -> Trouble {
        let problem = format!("it is an endpoint of chain {found}, not of {expected}");
        self.remember("eth_chainId", &problem, Cause::OtherChain);
        self.doubt();
        Trouble::WrongChain { found }
    }

    /// Whether its chain is known to be the right one.
    pub(super) fn is_confirmed(&self) -> bool {
        self.state().confirmed
    }

    /// Whether others are to be asked first for this.
    pub(super) fn avoids(&self, method: &str) -> bool {
        self.state().record.avoids(method)
    }

    /// After an outage another chain may stand at the same place.
    pub(super) fn doubt(&self) {
        self.state().confirmed = false;
    }

    /// What it does not serve of this method, by its last answer.
    pub(crate) fn failure(&self, method: &str) -> Option<MethodFailure> {
        self.state().record.failure(method).cloned()
    }

    /// Whether nobody knows any more what it would answer to this.
    pub(crate) fn is_unknown(&self, method: &str, after: Duration) -> bool {
        self.state().record.is_unknown(method, after)
    }

    /// Its name and what is wrong with it.
    pub(super) fn report(&self) -> EndpointState {
        EndpointState {
            name: self.name.clone(),
            problem: self.state().record.problem(),
        }
    }

    fn trouble(&self, method: &'static str, error: TransportError) -> Trouble {
        match error {
            RpcError::ErrorResp(payload) => self.judged(method, None, payload),
            RpcError::Transport(kind) => {
                self.connection.forget();
                match kind {
                    TransportErrorKind::HttpError(error) => self.http_trouble(method, &error),
                    kind => Trouble::Silent {
                        passes: !matches!(kind, TransportErrorKind::NonRetryable(_)),
                        reason: self.presentable(&kind.to_string()),
                    },
                }
            }
            RpcError::DeserError { text, .. } => match objection_of_page(None, &text) {
                Some(objection) => self.objection(objection, None, &text),
                None => nonsense(),
            },
            RpcError::NullResp => nonsense(),
            other => Trouble::Silent {
                reason: self.presentable(&other.to_string()),
                passes: false,
            },
        }
    }

    fn http_trouble(&self, method: &'static str, error: &HttpError) -> Trouble {
        match serde_json::from_str::<Response>(&error.body).map(|answer| answer.payload) {
            Ok(ResponsePayload::Failure(payload)) => self.judged(method, Some(error.status), payload),
            _ => {
                let objection = objection_of_page(Some(error.status), &error.body);
                let objection = objection.unwrap_or(Objection::Unclear);
                self.objection(objection, Some(error.status), &error.body)
            }
        }
    }

    fn judged(&self, method: &'static str, status: Option<u16>, payload: ErrorPayload) -> Trouble {
        let meaning = origin_of_error(method, status, &payload);
        let payload = ErrorPayload {
            message: Cow::Owned(self.secrets.hidden_in(&payload.message)),
            ..payload
        };
        match meaning {
            ErrorOrigin::Execution => Trouble::Reverted(payload),
            ErrorOrigin::Request => Trouble::Refused(payload),
            ErrorOrigin::Endpoint(objection) => self.objection(objection, status, &payload.message),
        }
    }

    fn objection(&self, objection: Objection, status: Option<u16>, said: &str) -> Trouble {
        let status = status
            .map(|status| format!(" (HTTP {status})"))
            .unwrap_or_default();
        let said = self.presentable(said);
        let separator = if said.is_empty() { "" } else { ": " };
        Trouble::Objected {
            objection,
            reason: format!("{}{status}{separator}{said}", objection.in_words()),
        }
    }

    /// What its other end said, short, on one line, and without secrets.
    fn presentable(&self, text: &str) -> String {
        printable(&shortened(self.secrets.hidden_in(text).trim()))
    }

    fn note(&self, method: &'static str, trouble: &Trouble) {
        match trouble {
            Trouble::Reverted(_) | Trouble::Refused(_) => self.state().record.answered(method),
            Trouble::Objected {
                objection: Objection::Behind | Objection::Unclear,
                ..
            } => {
                // It depends on what was asked for: the next request may well be served.
            }
            Trouble::Objected { objection, reason } => {
                self.remember(method, reason, Cause::Objection(*objection));
            }
            Trouble::Silent { reason, .. } => self.remember(method, reason, Cause::Silence),
            // Only the answer to `identify` is that, and noted there.
            Trouble::WrongChain { .. } => {}
        }
        if trouble.is_outage() {
            self.doubt();
        }
    }

    fn remember(&self, method: &'static str, problem: &str, cause: Cause) {
        let is_new = self.state().record.refused(method, problem.to_owned(), cause);
        if is_new {
            tracing::warn!(
                endpoint = self.name,
                method,
                problem,
                "an endpoint of the chain does not serve"
            );
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn nonsense() -> Trouble {
    Trouble::Silent {
        reason: NONSENSE.to_owned(),
        passes: false,
    }
}
