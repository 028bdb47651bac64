//! What clients of a node were told, and whether it is so.

use std::collections::BTreeMap;

use futures::{StreamExt, stream};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    Node, SOMEBODY, bytes,
    commons::{all_of, events},
    eventually,
    money::COIN,
};

/// What a paid share costs.
pub(crate) const PRICE: u64 = 3;
/// Pieces of data that are looked at together.
const AT_ONCE: usize = 4;

/// What was shared.
#[derive(Debug, Clone)]
pub(crate) enum Piece {
    /// In the database.
    Text(String),
    /// In the bucket: this many bytes that depend on the seed.
    Large(usize, u64),
}

impl Piece {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::Large(len, seed) => bytes(*len, *seed),
        }
    }
}

/// Who pays for shares and is granted access: the account of another node, and its token.
#[derive(Debug, Clone)]
pub(crate) struct Buyer {
    pub(crate) account: String,
    pub(crate) token: String,
}

/// What clients were told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    /// Data hashes, and what was shared and not erased.
    pub(crate) shared: BTreeMap<String, Piece>,
    pub(crate) erased: Vec<String>,
    /// Data to which the buyer was granted access after its share, and whether it still has it.
    pub(crate) granted: BTreeMap<String, bool>,
    /// Data that the buyer was to pay for, by its hash, and whether that was acknowledged.
    pub(crate) sold: BTreeMap<String, bool>,
    /// Requests that were begun, by their idempotency keys, and whether they were acknowledged.
    pub(crate) transfers: BTreeMap<String, bool>,
    /// Versions of the key-encryption key.
    pub(crate) versions: Vec<u64>,
}

impl Told {
    /// Adds what other clients were told.
    pub(crate) fn absorb(&mut self, mut other: Self) {
        self.shared.append(&mut other.shared);
        self.erased.append(&mut other.erased);
        self.granted.append(&mut other.granted);
        self.sold.append(&mut other.sold);
        self.transfers.append(&mut other.transfers);
        self.versions.append(&mut other.versions);
    }

    /// What was acknowledged is there once, and what was transferred was transferred once.
    pub(crate) async fn is_there(&self, node: &Node, paid_before: u128) {
        self.is_readable(node).await;
        let counts = events(node, "data_share").await;
        for hash in self.shared.keys().chain(&self.erased) {
            assert_eq!(counts.get(hash), Some(&1), "{hash}");
        }
        self.is_transferred(node, paid_before).await;
    }

    /// What was shared can be read and is verified; what was erased is gone.
    async fn is_readable(&self, node: &Node) {
        stream::iter(&self.shared)
            .for_each_concurrent(AT_ONCE, |(hash, piece)| async move {
                assert!(node.reads(hash).await == piece.bytes(), "{hash}");
                node.verifies(hash).await;
            })
            .await;
        for hash in &self.erased {
            assert_eq!(node.object(hash).await.0, StatusCode::NOT_FOUND, "{hash}");
        }
    }

    async fn is_transferred(&self, node: &Node, paid_before: u128) {
        let done = self.transfers.values().filter(|done| **done).count() as u128;
        eventually("every order has ended, and was paid once", || async {
            let ask = |route: &str| node.internal(Method::GET, route);
            let mut orders = all_of(ask, "/transfers?", "transfers").await;
            let is_to = |order: &Value, account: &str| {
                let to = order["to"].as_str();
                to.is_some_and(|to| to.eq_ignore_ascii_case(account))
            };
            orders.retain(|order| is_to(order, SOMEBODY));
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

    /// The buyer has access to what it was granted, and to nothing that was taken back.
    pub(crate) async fn is_granted(&self, node: &Node, buyer: &Buyer) {
        for (hash, may_read) in &self.granted {
            eventually("the readers are those who were granted access", || async {
                let (status, granted) = node.get(&format!("/data/{hash}/grants")).await;
                let is_buyer = |reader: &Value| *reader == json!(buyer.account);
                let readers = granted["recipients"].as_array();
                let reads = readers.is_some_and(|readers| readers.iter().any(is_buyer));
                (status == StatusCode::OK && reads == *may_read).then_some(())
            })
            .await;
        }
    }

    /// The buyer has paid once for each share that there is of what it was sold, where this is
    /// everything that it was ever sold.
    pub(crate) async fn is_paid_for(&self, node: &Node, buyer: &Buyer) {
        eventually("every share that was sold is paid for once", || async {
            let counts = events(node, "data_share").await;
            for (hash, is_acknowledged) in &self.sold {
                let count = counts.get(hash).copied().unwrap_or_default();
                assert!(count <= 1 && (count == 1 || !is_acknowledged), "{hash}: {count}");
            }
            let sold = self.sold.keys().filter(|hash| counts.contains_key(*hash));
            let expected = sold.count() as u128 * u128::from(PRICE);
            (node.balance(node.address(), &buyer.token).await == expected).then_some(())
        })
        .await;
    }

    /// No two clients were given the same version of the key.
    pub(crate) fn versions_differ(&self) {
        let mut versions = self.versions.clone();
        versions.sort_unstable();
        versions.dedup();
        assert_eq!(versions.len(), self.versions.len(), "{:?}", self.versions);
    }
}
