//! HTTP requests of plugins.

use std::time::Duration;

use futures::StreamExt;
use reqwest::{Client, Method, Url, redirect};

use crate::bindings::datamgmt::plugin::http::{Request, Response};

/// How long a connection may take to be made.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// The client of all plugins. It follows no redirects, which could lead to
/// where a plugin may not go, and no proxy of the environment.
pub(crate) fn client() -> reqwest::Result<Client> {
    Client::builder()
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_PATIENCE)
        .no_proxy()
        .build()
}

/// The origin that a request goes to.
pub(crate) fn origin_of(request: &Request) -> Result<String, String> {
    let url = Url::parse(&request.url).map_err(|error| format!("the URL is not valid: {error}"))?;
    Ok(url.origin().ascii_serialization())
}

/// Sends a request whose origin is allowed; reads at most `limit` bytes.
pub(crate) async fn send(client: &Client, request: Request, limit: usize) -> Result<Response, String> {
    let method = Method::from_bytes(request.method.as_bytes()).map_err(|error| error.to_string())?;
    let mut builder = client.request(method, request.url).body(request.body);
    for (name, value) in request.headers {
        builder = builder.header(name, value);
    }
    let response = builder.send().await.map_err(describe)?;
    let status = response.status().as_u16();
    let headers = response
        .headers()
        .iter()
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .collect();
    let mut body = Vec::new();
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(describe)?;
        if body.len() + piece.len() > limit {
            return Err(format!("the answer has more than {limit} bytes"));
        }
        body.extend_from_slice(&piece);
    }
    Ok(Response {
        status,
        headers,
        body,
    })
}

/// The error with its causes; `reqwest` itself only names the URL.
fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
