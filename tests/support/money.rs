//! What tests about money say to a node.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    Node,
    http::{Answer, answer},
};

/// The chain's own coin.
pub(crate) const COIN: &str = "0x0000000000000000000000000000000000000000";

impl Node {
    /// Hands a JSON document to the API for operators.
    pub(crate) async fn order(&self, route: &str, body: &Value) -> Answer {
        answer(self.internal(Method::POST, route).json(body)).await
    }

    /// The same under an idempotency key; `None` where the node is gone.
    pub(crate) async fn try_order(&self, route: &str, key: &str, body: &Value) -> Option<Answer> {
        let request = self
            .internal(Method::POST, route)
            .header("Idempotency-Key", key)
            .json(body);
        let response = request.send().await.ok()?;
        let status = response.status();
        Some((status, response.json().await.ok()?))
    }

    /// Deploys a token of which the node has everything; its address.
    pub(crate) async fn issue(&self, supply: u64) -> String {
        let body = json!({"name": "Data credit", "symbol": "DATA", "decimals": 2, "initial_supply": supply});
        let (status, issued) = self.order("/tokens/issue", &body).await;
        assert_eq!(status, StatusCode::CREATED, "{issued}");
        issued["address"].as_str().unwrap().to_owned()
    }

    /// Supports a token that another node has issued.
    pub(crate) async fn add_token(&self, token: &str) {
        let (status, added) = self.order("/tokens", &json!({"address": token})).await;
        assert_eq!(status, StatusCode::CREATED, "{added}");
    }

    /// Lets another account take tokens from this node's.
    pub(crate) async fn allow(&self, token: &str, spender: &str, amount: u64) {
        let body = json!({"spender": spender, "amount": amount});
        let (status, allowed) = self.order(&format!("/tokens/{token}/approve"), &body).await;
        assert_eq!(status, StatusCode::OK, "{allowed}");
    }

    /// What an account has of a token.
    pub(crate) async fn balance(&self, account: &str, token: &str) -> u128 {
        let route = format!("/balance/{account}?token={token}");
        let (status, body) = answer(self.internal(Method::GET, &route)).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body["balance"].as_str().unwrap().parse().unwrap()
    }

    /// A payment for a transfer out of the node's own account.
    pub(crate) fn transfer_to(&self, to: &str, token: &str, amount: u64) -> Value {
        json!({"from": self.address(), "to": to, "amount": amount, "token": token})
    }
}
