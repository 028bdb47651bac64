//! Makes calls.

use std::{error::Error, sync::Arc, time::Duration};

use async_trait::async_trait;
use dm_core::ports::{WebhookAnswer, WebhookCall, Webhooks};
use ipnet::IpNet;
use reqwest::{
    Client, Response, StatusCode,
    header::{CONTENT_TYPE, HeaderMap},
    redirect::Policy,
};

use crate::{guard::Guard, signature::sign};

/// How long a call may take, the answer included.
const PATIENCE: Duration = Duration::from_secs(15);
/// Bytes of an answer that are read, so that the connection can be used again.
const MAX_ANSWER: usize = 16 * 1024;
/// Connections to one receiver that are kept open for the next call.
const IDLE_CONNECTIONS: usize = 2;
/// Characters of a reason.
const MAX_REASON: usize = 300;

/// What may be called.
#[derive(Debug, Clone, Default)]
pub struct WebhooksConfig {
    /// Networks that may be called although they are not on the public internet.
    pub allowed_networks: Vec<IpNet>,
}

/// Calls receivers over HTTP; cheap to clone.
#[derive(Debug, Clone)]
pub struct HttpWebhooks {
    client: Client,
    guard: Guard,
}

impl HttpWebhooks {
    /// Calls nobody yet.
    ///
    /// # Errors
    /// Where TLS cannot be set up.
    pub fn new(config: &WebhooksConfig) -> Result<Self, reqwest::Error> {
        let guard = Guard::new(&config.allowed_networks);
        let client = Client::builder()
            .user_agent(concat!("dm-node/", env!("CARGO_PKG_VERSION")))
            .timeout(PATIENCE)
            .redirect(Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .dns_resolver(Arc::new(guard.clone()))
            .build()?;
        Ok(Self { client, guard })
    }

    async fn post(&self, call: WebhookCall) -> Result<WebhookAnswer, String> {
        // An address has no name to be resolved: it is judged here.
        let url = self
            .guard
            .check(&call.url)
            .map_err(|reason| format!("the address {reason}"))?;
        let signature = sign(&call.secret, &call.id, call.at, &call.body);
        let mut request = self
            .client
            .post(url)
            .header(CONTENT_TYPE, "application/cloudevents+json; charset=utf-8")
            .header("webhook-id", &call.id)
            .header("webhook-timestamp", call.at)
            .header("webhook-signature", signature.ok_or("the key cannot be used")?)
            .body(call.body);
        if let Some(trace) = call.trace {
            request = request.header("traceparent", trace.traceparent());
        }
        let response = request.send().await.map_err(|error| describe(&error))?;
        let answer = judge(response.status(), response.headers());
        drain(response).await;
        Ok(answer)
    }
}

#[async_trait]
impl Webhooks for HttpWebhooks {
    fn check(&self, url: &str) -> Result<(), String> {
        self.guard.check(url).map(|_| ())
    }

    async fn call(&self, call: WebhookCall) -> WebhookAnswer {
        self.post(call).await.unwrap_or_else(failed)
    }
}

fn judge(status: StatusCode, headers: &HeaderMap) -> WebhookAnswer {
    if status.is_success() {
        return WebhookAnswer::Taken;
    }
    if status == StatusCode::GONE {
        return WebhookAnswer::Gone;
    }
    if status.is_redirection() {
        let to = headers
            .get("location")
            .and_then(|to| to.to_str().ok())
            .unwrap_or_default();
        return failed(format!("answered {status}; redirects are not followed: {to}"));
    }
    failed(format!("answered {status}"))
}

fn failed(mut reason: String) -> WebhookAnswer {
    reason.truncate(reason.floor_char_boundary(MAX_REASON));
    WebhookAnswer::Failed { reason }
}

/// Reads what is left of an answer, so that the connection can be used again; one that
/// does not end soon is closed.
async fn drain(mut response: Response) {
    let mut read = 0;
    while read <= MAX_ANSWER
        && let Ok(Some(piece)) = response.chunk().await
    {
        read += piece.len();
    }
}

/// The error with its causes and without the URL, which the operator knows.
fn describe(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", PATIENCE.as_secs());
    }
    let mut deepest: &dyn Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}
