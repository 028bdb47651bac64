//! A client of a running node's HTTP interface.

use anyhow::{Context, bail};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;

/// Talks to one API of a node.
pub(crate) struct NodeClient {
    http: reqwest::Client,
    api: String,
    api_key: String,
}

impl NodeClient {
    /// A client of the API at `api`; an empty key is not sent.
    pub(crate) fn new(api: &str, api_key: &str) -> Self {
        Self {
            http: reqwest::Client::new(),
            api: api.trim_end_matches('/').to_owned(),
            api_key: api_key.trim().to_owned(),
        }
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

    /// Sends a request; an answer that is no success becomes an error with the
    /// node's own sentence.
    pub(crate) async fn send(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let response = request
            .send()
            .await
            .with_context(|| format!("no node answers at {}", self.api))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body: Value = response.json().await.unwrap_or_default();
        let reason = body["error"].as_str().unwrap_or("no reason given").to_owned();
        bail!("the node answers {status}: {reason}")
    }

    /// What `/health` says, also where it says that the node is not well.
    pub(crate) async fn health(&self) -> anyhow::Result<Value> {
        let request = self.request(Method::GET, "/health");
        let response = request
            .send()
            .await
            .with_context(|| format!("no node answers at {}", self.api))?;
        response.json().await.context("the node's answer is no JSON")
    }

    /// Hands a JSON document to a route and returns the answer.
    pub(crate) async fn post(&self, route: &str, body: &Value) -> anyhow::Result<Value> {
        self.answer(self.request(Method::POST, route).json(body)).await
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

    /// Sends a request and reads the JSON document that comes back.
    async fn answer(&self, request: RequestBuilder) -> anyhow::Result<Value> {
        let response = self.send(request).await?;
        response.json().await.context("the node's answer is no JSON")
    }
}

/// A route with its query; the values are of the kind that needs no escaping.
fn with_query(route: &str, query: &[(&str, String)]) -> String {
    let pairs: Vec<String> = query
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    if pairs.is_empty() {
        route.to_owned()
    } else {
        format!("{route}?{}", pairs.join("&"))
    }
}
