//! Asks the identity provider, and believes no more of it than is needed.

use std::{error::Error, time::Duration};

use dm_core::ports::IdentityError;
use reqwest::{Client, RequestBuilder, StatusCode, redirect::Policy};
use serde::de::DeserializeOwned;

/// How long an answer may take as a whole.
const PATIENCE: Duration = Duration::from_secs(5);
/// Largest answer in bytes.
const MAX_ANSWER: usize = 256 * 1024;

/// An answer with its status.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    body: Vec<u8>,
}

/// A client that follows no redirect: each address comes from the discovery document.
pub(crate) fn client() -> Result<Client, reqwest::Error> {
    Client::builder()
        .user_agent(concat!("dm-node/", env!("CARGO_PKG_VERSION")))
        .timeout(PATIENCE)
        .redirect(Policy::none())
        .build()
}

/// Sends a request and reads its answer, whatever its status.
pub(crate) async fn ask(request: RequestBuilder) -> Result<Answer, IdentityError> {
    let request = request.header("Accept", "application/json");
    let mut response = request.send().await.map_err(|error| unreachable(&error))?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| unreachable(&error))? {
        body.extend_from_slice(&piece);
        if body.len() > MAX_ANSWER {
            let reason = format!("its answer is larger than {MAX_ANSWER} bytes");
            return Err(IdentityError::Unreachable(reason));
        }
    }
    Ok(Answer { status, body })
}

/// Asks for a document.
pub(crate) async fn document<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, IdentityError> {
    let answer = ask(request).await?;
    if answer.status != StatusCode::OK {
        return Err(IdentityError::Unreachable(format!(
            "it answered {}",
            answer.status
        )));
    }
    answer.json()
}

impl Answer {
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, IdentityError> {
        serde_json::from_slice(&self.body).map_err(|error| {
            // What it has said may hold a token: only where it is wrong is told.
            IdentityError::Unreachable(format!(
                "its answer is not what it should be (line {}, column {})",
                error.line(),
                error.column()
            ))
        })
    }
}

/// The causes without the address, which has a code where somebody signs in.
fn unreachable(error: &reqwest::Error) -> IdentityError {
    let mut cause: &dyn Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let reason = if error.is_timeout() {
        "it did not answer in time".to_owned()
    } else {
        cause.to_string()
    };
    IdentityError::Unreachable(reason)
}
