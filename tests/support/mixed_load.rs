//! Clients that do different things with an instance, whatever happens to it.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    Node, SOMEBODY,
    commons::{all_of, events},
    eventually,
    money::COIN,
};

/// Clients of each instance.
const CLIENTS: u64 = 4;
/// Shares and transfers that are acknowledged before something happens, and after it.
const DONE: (usize, usize) = (12, 2);
/// Of a client after a request that was not acknowledged.
const PAUSE: Duration = Duration::from_millis(50);

/// Clients that share, erase and transfer at the same time, and what they were told.
#[derive(Default)]
pub(crate) struct Load {
    is_over: AtomicBool,
    told: Mutex<Told>,
}

/// What clients were told.
#[derive(Default)]
struct Told {
    /// Data hashes and texts.
    shared: BTreeMap<String, String>,
    erased: Vec<String>,
    /// Requests that were begun, by their idempotency keys, and whether they were acknowledged.
    transfers: BTreeMap<String, bool>,
}

impl Load {
    /// Until the load is over; what is refused or gets no answer is left, but transfers, which are
    /// asked for again of `node` alone.
    pub(crate) async fn run(&self, node: &Node, name: &str) {
        let clients = (0..CLIENTS).map(|client| async move {
            for count in 0.. {
                if self.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let what = format!("{name}-client-{client}-number-{count}");
                let is_done = match (client, count % 4) {
                    (0, _) => self.transfer(node, &what).await,
                    (_, 3) => self.erase(node, &what).await,
                    _ => self.share(node, &what).await.is_some(),
                };
                if !is_done {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        });
        join_all(clients).await;
    }

    pub(crate) async fn share(&self, node: &Node, text: &str) -> Option<String> {
        let body = json!({"data": text, "recipient": SOMEBODY});
        let request = node.request(Method::POST, "/share_data").json(&body);
        let response = request.send().await.ok()?;
        if !response.status().is_success() {
            return None;
        }
        let body: Value = response.json().await.ok()?;
        let hash = body["data_hash"].as_str().unwrap().to_owned();
        self.told
            .lock()
            .unwrap()
            .shared
            .insert(hash.clone(), text.to_owned());
        Some(hash)
    }

    async fn erase(&self, node: &Node, text: &str) -> bool {
        let Some(hash) = self.share(node, text).await else {
            return false;
        };
        // Whether it is done is not known where nothing is heard.
        self.told.lock().unwrap().shared.remove(&hash);
        let request = node.request(Method::DELETE, &format!("/data/{hash}"));
        let is_done = matches!(request.send().await, Ok(response) if response.status().is_success());
        if is_done {
            self.told.lock().unwrap().erased.push(hash);
        }
        is_done
    }

    async fn transfer(&self, node: &Node, key: &str) -> bool {
        self.told.lock().unwrap().transfers.insert(key.to_owned(), false);
        let body = node.transfer_to(SOMEBODY, COIN, 1);
        let made = node.try_order("/transfer", key, &body).await;
        let is_done = matches!(made, Some((status, _)) if status.is_success());
        if is_done {
            self.told.lock().unwrap().transfers.insert(key.to_owned(), true);
        }
        is_done
    }

    fn counts(&self) -> (usize, usize) {
        let told = self.told.lock().unwrap();
        let transfers = told.transfers.values().filter(|done| **done).count();
        (told.shared.len(), transfers)
    }

    /// Waits until further shares and transfers are acknowledged.
    pub(crate) async fn goes_on(&self) {
        let (shares, transfers) = self.counts();
        eventually("further requests are acknowledged", || async {
            let now = self.counts();
            (now.0 >= shares + DONE.0 && now.1 >= transfers + DONE.1).then_some(())
        })
        .await;
    }

    /// Takes over what the clients of another load were told.
    pub(crate) fn absorb(&self, other: Self) {
        let mut other = other.told.into_inner().unwrap();
        let mut told = self.told.lock().unwrap();
        told.shared.append(&mut other.shared);
        told.erased.append(&mut other.erased);
        told.transfers.append(&mut other.transfers);
    }

    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    /// What was acknowledged is there once, and what was paid was paid once.
    pub(crate) async fn is_there(&self, node: &Node, paid_before: u128) {
        let told = std::mem::take(&mut *self.told.lock().unwrap());
        for (hash, text) in &told.shared {
            assert_eq!(node.reads(hash).await, text.as_bytes(), "{hash}");
            node.verifies(hash).await;
        }
        for hash in &told.erased {
            assert_eq!(node.object(hash).await.0, StatusCode::NOT_FOUND, "{hash}");
        }
        let counts = events(node, "data_share").await;
        for hash in told.shared.keys().chain(&told.erased) {
            assert_eq!(counts.get(hash), Some(&1), "{hash}");
        }
        let done = told.transfers.values().filter(|done| **done).count() as u128;
        eventually("every order has ended, and was paid once", || async {
            let ask = |route: &str| node.internal(Method::GET, route);
            let orders = all_of(ask, "/transfers?", "transfers").await;
            let is_open = |order: &&Value| order["status"] != "completed" && order["status"] != "failed";
            if orders.iter().any(|order| is_open(&order)) {
                return None;
            }
            let completed = orders.iter().filter(|order| order["status"] == "completed");
            let completed = completed.count() as u128;
            let paid = node.balance(SOMEBODY, COIN).await - paid_before;
            assert!(paid <= completed, "{paid} was paid for {completed} orders");
            (paid == completed && completed >= done).then_some(())
        })
        .await;
    }
}
