//! A client of a running node's HTTP interface.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use reqwest::{
    Certificate, Method, RequestBuilder, Response, StatusCode, Url,
    header::{HeaderMap, RETRY_AFTER},
    redirect::Policy,
};
use serde_json::Value;

/// Seconds that a command waits in all where the node asks it to come back later.
const PATIENCE_SECS: u64 = 60;

/// Talks to one API of a node.
pub(crate) struct NodeClient {
    http: reqwest::Client,
    api: String,
    api_key: String,
}

impl NodeClient {
    /// A client of the API at `api`; an empty key is not sent. A node with TLS is recognised
    /// by the authorities in the file `ca`, else by those of the system.
    ///
    /// # Errors
    /// Where the file cannot be used.
    pub(crate) fn new(api: &str, api_key: &str, ca: Option<&PathBuf>) -> anyhow::Result<Self> {
        Ok(Self {
            http: http_client(api, ca)?,
            api: api.trim_end_matches('/').to_owned(),
            api_key: api_key.trim().to_owned(),
        })
    }

    /// A request for a route such as `/health`.
    pub(crate) fn request(&self, method: Method, route: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{route}", self.api));
        if self.api_key.is_empty() {
            request
        } else {
            request.header("X-API-Key", &self.api_key)
        }
    }

    /// Sends a request; an answer that is no success becomes an error with the node's own
    /// sentence.
    pub(crate) async fn send(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        successful(self.exchange(request).await?).await
    }

    /// The address of the API.
    pub(crate) fn api(&self) -> &str {
        &self.api
    }

    /// Sends a request once; an answer that is no success is an answer.
    ///
    /// # Errors
    /// Where the connection breaks.
    pub(crate) async fn execute(&self, request: RequestBuilder) -> reqwest::Result<Response> {
        self.http.execute(request.build()?).await
    }

    /// Sends a request, and again where the node asks the client to come back later. A
    /// request whose body is streamed is sent once.
    async fn exchange(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let mut request = request.build().context("the request cannot be made")?;
        let mut patience = PATIENCE_SECS;
        loop {
            let method = request.method().clone();
            let again = request.try_clone();
            let response = self.http.execute(request).await.with_context(|| self.silent())?;
            let wait = wait_asked(&method, response.status(), response.headers());
            match again.zip(wait.filter(|wait| *wait <= patience)) {
                Some((same, wait)) => {
                    eprintln!("the node asks to wait {wait} s");
                    tokio::time::sleep(Duration::from_secs(wait)).await;
                    // A wait of no time counts, too: nothing is tried for ever.
                    patience = patience.saturating_sub(wait.max(1));
                    request = same;
                }
                None => return Ok(response),
            }
        }
    }

    /// What to say where the connection breaks before there is an answer.
    pub(crate) fn silent(&self) -> String {
        format!("no node answers at {}", self.api)
    }

    /// What `/health` says, also where it says that the node is not well.
    pub(crate) async fn health(&self) -> anyhow::Result<Value> {
        let request = self.request(Method::GET, "/health");
        let response = request.send().await.with_context(|| self.silent())?;
        json(response).await
    }

    /// How each part of the node is, with what is wrong and what to do; `None` from an older
    /// node, which does not tell.
    pub(crate) async fn health_parts(&self) -> anyhow::Result<Option<Value>> {
        let response = self.exchange(self.request(Method::GET, "/health/parts")).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let mut answer = json(successful(response).await?).await?;
        Ok(Some(answer["parts"].take()))
    }

    /// Hands a JSON document to a route and returns the answer.
    pub(crate) async fn post(&self, route: &str, body: &Value) -> anyhow::Result<Value> {
        self.answer(self.request(Method::POST, route).json(body)).await
    }

    /// Puts a JSON document at a route and returns the answer.
    pub(crate) async fn put(&self, route: &str, body: &Value) -> anyhow::Result<Value> {
        self.answer(self.request(Method::PUT, route).json(body)).await
    }

    /// Has what is at a route deleted and returns the answer.
    pub(crate) async fn delete(&self, route: &str) -> anyhow::Result<Value> {
        self.answer(self.request(Method::DELETE, route)).await
    }

    /// Has what a JSON document names deleted from a route and returns the answer.
    pub(crate) async fn delete_named(&self, route: &str, body: &Value) -> anyhow::Result<Value> {
        self.answer(self.request(Method::DELETE, route).json(body)).await
    }

    /// The JSON document at a route.
    pub(crate) async fn get(&self, route: &str, query: &[(&str, String)]) -> anyhow::Result<Value> {
        self.answer(self.request(Method::GET, &with_query(route, query)))
            .await
    }

    /// The same, asked for once: a node that asks the client to come back later refuses.
    pub(crate) async fn get_once(&self, route: &str, query: &[(&str, String)]) -> anyhow::Result<Value> {
        let request = self.request(Method::GET, &with_query(route, query));
        let response = self.execute(request).await.with_context(|| self.silent())?;
        json(successful(response).await?).await
    }

    /// Sends a request and reads the JSON document that comes back.
    pub(crate) async fn answer(&self, request: RequestBuilder) -> anyhow::Result<Value> {
        json(self.send(request).await?).await
    }
}

/// The document in an answer.
async fn json(response: Response) -> anyhow::Result<Value> {
    response.json().await.context("the node's answer is no JSON")
}

/// Uses the proxies of `HTTP_PROXY`, `HTTPS_PROXY` and `ALL_PROXY`, but for the hosts of
/// `NO_PROXY` and this machine itself. It follows no redirect: each of them would carry the
/// API key to another place.
fn http_client(api: &str, ca: Option<&PathBuf>) -> anyhow::Result<reqwest::Client> {
    let mut client = reqwest::Client::builder().redirect(Policy::none());
    if is_this_machine(api) {
        client = client.no_proxy();
    }
    if let Some(file) = ca {
        client = client.tls_certs_only(authorities(file)?);
    }
    client.build().context("TLS cannot be set up")
}

/// The certificates in a PEM file of authorities.
fn authorities(file: &Path) -> anyhow::Result<Vec<Certificate>> {
    let pem = fs::read(file).with_context(|| format!("--ca: cannot read {}", file.display()))?;
    let authorities = Certificate::from_pem_bundle(&pem)
        .ok()
        .filter(|authorities| !authorities.is_empty());
    authorities.with_context(|| format!("--ca: {} holds no whole certificate in PEM", file.display()))
}

/// Whether a URL leads to a loopback address.
fn is_this_machine(api: &str) -> bool {
    let host = Url::parse(api)
        .ok()
        .and_then(|url| url.host_str().map(str::to_lowercase));
    host.is_some_and(|host| {
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        let name = host.trim_end_matches('.');
        match literal.parse::<IpAddr>() {
            Ok(address) => address.to_canonical().is_loopback(),
            Err(_) => name == "localhost" || name.ends_with(".localhost"),
        }
    })
}

/// Seconds after which the same request may be sent again, where the node says so: after
/// 429 it has done nothing, after 503 only a request that changes nothing is repeated.
fn wait_asked(method: &Method, status: StatusCode, headers: &HeaderMap) -> Option<u64> {
    let may_repeat = match status {
        StatusCode::TOO_MANY_REQUESTS => true,
        StatusCode::SERVICE_UNAVAILABLE => method.is_safe(),
        _ => false,
    };
    let wait = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok();
    wait.filter(|_| may_repeat)
}

/// The answer, where it is a success.
pub(crate) async fn successful(response: Response) -> anyhow::Result<Response> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body: Value = response.json().await.unwrap_or_default();
    let reason = body["error"].as_str().unwrap_or("no reason given");
    bail!("the node answers {status}: {reason}")
}

/// A route with its query.
fn with_query(route: &str, query: &[(&str, String)]) -> String {
    // A base that is always valid; only the query of it is used.
    let url = Url::parse_with_params("http://node/", query).ok();
    match url.as_ref().and_then(Url::query).filter(|_| !query.is_empty()) {
        Some(query) => format!("{route}?{query}"),
        None => route.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn loopback_addresses_are_this_machine() {
        for api in [
            "http://127.0.0.1:8081",
            "http://127.1.2.3",
            "http://localhost:8081/",
            "http://LOCALHOST",
            "https://node.localhost",
            "http://[::1]:8081",
            "http://[::ffff:127.0.0.1]:8081",
        ] {
            assert!(is_this_machine(api), "{api}");
        }
        for api in [
            "http://192.0.2.1:8081",
            "http://node.example",
            "http://localhost.example",
            "http://127.0.0.1.example",
            "nonsense",
        ] {
            assert!(!is_this_machine(api), "{api}");
        }
    }

    #[test]
    fn a_request_is_repeated_only_where_that_changes_nothing() {
        let wait = |method, status, after: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.extend(after.map(|after| (RETRY_AFTER, HeaderValue::from_static(after))));
            wait_asked(&method, status, &headers)
        };
        let (limited, unavailable) = (StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(wait(Method::POST, limited, Some("2")), Some(2));
        assert_eq!(wait(Method::GET, limited, None), None);
        assert_eq!(wait(Method::GET, limited, Some("soon")), None);
        assert_eq!(wait(Method::GET, unavailable, Some("3")), Some(3));
        assert_eq!(wait(Method::POST, unavailable, Some("3")), None);
        assert_eq!(wait(Method::GET, StatusCode::NOT_FOUND, Some("3")), None);
    }
}
