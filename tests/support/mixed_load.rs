//! Clients that do different things with an instance, whatever happens to it.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::{
    Node, PATIENCE, SOMEBODY, data_hash, eventually_within,
    money::COIN,
    told::{Buyer, PRICE, Piece, Told},
};

/// Clients of each instance.
const CLIENTS: u64 = 4;
/// Shares and transfers that are acknowledged before something happens, and after it.
const DONE: (usize, usize) = (12, 2);
/// Of a client after a request that was not acknowledged.
const PAUSE: Duration = Duration::from_millis(50);
/// Bytes of a large object: more than one chunk, and in the bucket.
pub(crate) const LARGE: usize = 300_000;
/// Which request of a client is a rotation, where it asks for one.
const ROTATION: u64 = 5;

/// Clients that share, erase and transfer at the same time, and what they were told. Where
/// somebody buys, they also sell, grant, revoke and rotate.
#[derive(Default)]
pub(crate) struct Load {
    is_over: AtomicBool,
    told: Mutex<Told>,
    buyer: Option<Buyer>,
}

/// The JSON document of a success; `None` where the request was refused, or nothing was heard.
async fn success(request: RequestBuilder) -> Option<Value> {
    let response = request.send().await.ok()?;
    if !response.status().is_success() {
        return None;
    }
    response.json().await.ok()
}

impl Load {
    pub(crate) fn with_buyer(buyer: &Buyer) -> Self {
        Self {
            buyer: Some(buyer.clone()),
            ..Self::default()
        }
    }

    /// Until the load is over; what is refused or gets no answer is left, but transfers, which are
    /// asked for again of `node` alone.
    pub(crate) async fn run(&self, node: &Node, name: &str) {
        let clients = (0..CLIENTS).map(|client| async move {
            for count in 0.. {
                if self.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let what = format!("{name}-client-{client}-number-{count}");
                let is_done = match (client, count % 4, &self.buyer) {
                    (0, ..) => self.transfer(node, &what).await,
                    (1, _, Some(buyer)) => self.sell(node, &what, buyer).await,
                    (2, _, Some(buyer)) => self.grant(node, &what, buyer, count % 2 == 0).await,
                    (3, _, Some(_)) if count == ROTATION => self.rotate(node).await,
                    (3, 1, Some(_)) => self.share_large(node, &what).await,
                    (_, 3, _) => self.erase(node, &what).await,
                    _ => self.share(node, &what).await.is_some(),
                };
                if !is_done {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        });
        join_all(clients).await;
    }

    /// Changes what clients were told.
    fn note<T>(&self, change: impl FnOnce(&mut Told) -> T) -> T {
        change(&mut self.told.lock().unwrap())
    }

    pub(crate) async fn share(&self, node: &Node, text: &str) -> Option<String> {
        let body = json!({"data": text, "recipient": SOMEBODY});
        let body = success(node.request(Method::POST, "/share_data").json(&body)).await?;
        let hash = body["data_hash"].as_str().unwrap().to_owned();
        self.note(|told| told.shared.insert(hash.clone(), Piece::Text(text.to_owned())));
        Some(hash)
    }

    async fn share_large(&self, node: &Node, name: &str) -> bool {
        let add = |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte));
        let piece = Piece::Large(LARGE, name.bytes().fold(0, add));
        let request = node.request(Method::PUT, &format!("/objects?recipient={SOMEBODY}"));
        let Some(body) = success(request.body(piece.bytes())).await else {
            return false;
        };
        let hash = body["data_hash"].as_str().unwrap().to_owned();
        self.note(|told| told.shared.insert(hash, piece));
        true
    }

    async fn erase(&self, node: &Node, text: &str) -> bool {
        let Some(hash) = self.share(node, text).await else {
            return false;
        };
        // Whether it is done is not known where nothing is heard.
        self.note(|told| told.shared.remove(&hash));
        let request = node.request(Method::DELETE, &format!("/data/{hash}"));
        let is_done = success(request).await.is_some();
        if is_done {
            self.note(|told| told.erased.push(hash));
        }
        is_done
    }

    /// Shares with somebody, then with the buyer, and takes that back.
    async fn grant(&self, node: &Node, text: &str, buyer: &Buyer, takes_back: bool) -> bool {
        let Some(hash) = self.share(node, text).await else {
            return false;
        };
        let (route, body) = (
            format!("/data/{hash}/grants"),
            json!({"recipient": buyer.account}),
        );
        if success(node.request(Method::POST, &route).json(&body))
            .await
            .is_none()
        {
            return false;
        }
        if takes_back {
            let request = node.request(Method::DELETE, &route).json(&body);
            if success(request).await.is_none() {
                return false;
            }
        }
        self.note(|told| told.granted.insert(hash, !takes_back));
        true
    }

    async fn sell(&self, node: &Node, text: &str, buyer: &Buyer) -> bool {
        let hash = data_hash(text.as_bytes());
        self.note(|told| told.sold.insert(hash.clone(), false));
        let body = json!({
            "data": text, "recipient": buyer.account,
            "payment_token": buyer.token, "payment_amount": PRICE,
        });
        let request = node.request(Method::POST, "/share_data").json(&body);
        let is_done = success(request).await.is_some();
        if is_done {
            self.note(|told| {
                told.shared.insert(hash.clone(), Piece::Text(text.to_owned()));
                told.sold.insert(hash, true)
            });
        }
        is_done
    }

    async fn rotate(&self, node: &Node) -> bool {
        let request = node.internal(Method::POST, "/keys/rotate").json(&json!({}));
        let Some(rotated) = success(request).await else {
            return false;
        };
        self.note(|told| told.versions.push(rotated["version"].as_u64().unwrap()));
        true
    }

    async fn transfer(&self, node: &Node, key: &str) -> bool {
        self.note(|told| told.transfers.insert(key.to_owned(), false));
        let body = node.transfer_to(SOMEBODY, COIN, 1);
        let made = node.try_order("/transfer", key, &body).await;
        let is_done = matches!(made, Some((status, _)) if status.is_success());
        if is_done {
            self.note(|told| told.transfers.insert(key.to_owned(), true));
        }
        is_done
    }

    fn counts(&self) -> (usize, usize) {
        self.note(|told| {
            let transfers = told.transfers.values().filter(|done| **done).count();
            (told.shared.len(), transfers)
        })
    }

    /// Waits until further shares and transfers are acknowledged.
    pub(crate) async fn goes_on(&self) {
        let (shares, transfers) = self.counts();
        // They are many for a machine that does much else.
        eventually_within(4 * PATIENCE, "further requests are acknowledged", || async {
            let now = self.counts();
            (now.0 >= shares + DONE.0 && now.1 >= transfers + DONE.1).then_some(())
        })
        .await;
    }

    /// Takes over what the clients of another load were told.
    pub(crate) fn absorb(&self, other: Self) {
        let other = other.told.into_inner().unwrap();
        self.note(|told| told.absorb(other));
    }

    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    /// What clients were told so far.
    pub(crate) fn told(&self) -> Told {
        self.note(|told| told.clone())
    }

    /// What was acknowledged is there once, and what was paid was paid once.
    pub(crate) async fn is_there(&self, node: &Node, paid_before: u128) {
        self.told().is_there(node, paid_before).await;
    }
}
