use async_trait::async_trait;

/// Answers JSON-RPC 2.0: the embedded chain, for other programs.
#[async_trait]
pub trait JsonRpc: Send + Sync {
    /// The response to one request or batch, both as JSON text. Requests that
    /// are no JSON-RPC get an error response of JSON-RPC.
    async fn call(&self, request: &[u8]) -> Vec<u8>;
}
