//! Idempotency keys: how a client makes a request that it can repeat.

/// How a client makes sure that a repeated request, of a share or an order, counts once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    /// Id of the API key that sent it: the keys of two clients never meet.
    pub client: String,
    /// The header's value, at most 255 characters.
    pub key: String,
}
