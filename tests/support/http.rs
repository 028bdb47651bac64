//! What a client says to a node.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use super::{Node, eventually};

/// Status and JSON body of an answer.
pub(crate) type Answer = (StatusCode, Value);

impl Node {
    pub(crate) fn request(&self, method: Method, route: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{route}", self.started.external_api))
            .header("X-API-Key", &self.started.api_key)
    }

    pub(crate) fn internal(&self, method: Method, route: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{route}", self.started.internal_api))
            .header("X-API-Key", &self.started.api_key)
    }

    /// `POST /share_data`.
    pub(crate) async fn share(&self, data: &str, recipient: &str) -> Answer {
        let body = json!({"data": data, "recipient": recipient});
        answer(self.request(Method::POST, "/share_data").json(&body)).await
    }

    /// `POST /share_data`, which must succeed; the data hash.
    pub(crate) async fn must_share(&self, data: &str, recipient: &str) -> String {
        let (status, body) = self.share(data, recipient).await;
        assert!(status.is_success(), "{status} {body}");
        body["data_hash"].as_str().unwrap().to_owned()
    }

    /// `PUT /objects`.
    pub(crate) async fn put(&self, data: Vec<u8>, recipient: &str) -> Answer {
        answer(
            self.request(Method::PUT, &format!("/objects?recipient={recipient}"))
                .body(data),
        )
        .await
    }

    /// A JSON document of the API for clients.
    pub(crate) async fn get(&self, route: &str) -> Answer {
        answer(self.request(Method::GET, route)).await
    }

    /// `GET /objects/{hash}`: status and bytes.
    pub(crate) async fn object(&self, hash: &str) -> (StatusCode, Vec<u8>) {
        let request = self.request(Method::GET, &format!("/objects/{hash}"));
        let response = request.send().await.expect("the node answers");
        let status = response.status();
        (
            status,
            response
                .bytes()
                .await
                .map(|bytes| bytes.to_vec())
                .unwrap_or_default(),
        )
    }

    /// Waits until the node can read the data to its end: an answer is cut off where
    /// the object is encrypted anew meanwhile.
    pub(crate) async fn reads(&self, hash: &str) -> Vec<u8> {
        eventually("the object can be read", || async {
            let request = self.request(Method::GET, &format!("/objects/{hash}"));
            let response = request.send().await.expect("the node answers");
            if response.status() != StatusCode::OK {
                return None;
            }
            response.bytes().await.ok().map(|bytes| bytes.to_vec())
        })
        .await
    }

    /// Waits until the node finds the share verified; the answer.
    pub(crate) async fn verifies(&self, hash: &str) -> Value {
        eventually("the share is verified", || async {
            let (_, body) = self.get(&format!("/verify_data/{hash}")).await;
            (body["verified"] == true).then_some(body)
        })
        .await
    }

    /// Waits until so many peers are connected.
    pub(crate) async fn has_peers(&self, count: u64) {
        eventually("the peers are connected", || async {
            let (_, stats) = self.get("/network/stats").await;
            (stats["active_peers"].as_u64()? >= count).then_some(())
        })
        .await;
    }
}

/// Sends a request and reads the answer.
pub(crate) async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("the node answers");
    let status = response.status();
    (status, response.json().await.unwrap_or(Value::Null))
}
