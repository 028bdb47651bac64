use async_trait::async_trait;
use bytes::Bytes;
use zeroize::Zeroizing;

use crate::span::TraceContext;

/// One call of a receiver.
#[derive(Debug, Clone)]
pub struct WebhookCall {
    /// Where the receiver is.
    pub url: String,
    /// Key of the signature.
    pub secret: Zeroizing<Vec<u8>>,
    /// The event's id: the same, however often it is delivered.
    pub id: String,
    /// When the call is made, in seconds since the Unix epoch.
    pub at: u64,
    /// The event in JSON.
    pub body: Bytes,
    /// The place in a trace from which the call is made, where it belongs to one.
    pub trace: Option<TraceContext>,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebhookAnswer {
    /// The receiver has the event.
    Taken,
    /// The receiver wants no more events.
    Gone,
    /// The receiver was not reached, or did not take the event.
    Failed {
        /// Why, for people.
        reason: String,
    },
}

/// Calls programs when something happens, as
/// [Standard Webhooks](https://www.standardwebhooks.com/) says.
#[async_trait]
pub trait Webhooks: Send + Sync {
    /// Whether calls to this address may be made at all, as far as it can be told from
    /// the address.
    ///
    /// # Errors
    /// Completes the sentence "`url` …".
    fn check(&self, url: &str) -> Result<(), String>;

    /// Makes one call, in a bounded time.
    async fn call(&self, call: WebhookCall) -> WebhookAnswer;
}
