//! Instances of one node that have a database, a bucket and a chain in common.

use std::collections::BTreeMap;

use dm_testing::{
    s3::{FaultProxy, Moto},
    waiting::eventually,
};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use super::{Devnet, FUNDED_KEYS, Node, NodeSetup, http::answer, postgres::Postgres};
use crate::{
    instances::{leader, led},
    s3::in_bucket,
};

/// What the instances of a node have in common.
pub(crate) struct Commons {
    pub(crate) postgres: Postgres,
    bucket: String,
    /// Before the store, and what goes wrong there.
    pub(crate) store: FaultProxy,
    pub(crate) chain: Devnet,
    homes: [TempDir; 5],
}

impl Commons {
    pub(crate) async fn make() -> Option<Self> {
        let (postgres, moto) = (Postgres::running().await?, Moto::running()?);
        let homes = [(); 5].map(|()| tempdir().unwrap());
        Some(Self {
            postgres,
            bucket: moto.make_bucket(),
            store: FaultProxy::before(moto.url()),
            chain: Devnet::start(homes[4].path()).await,
            homes,
        })
    }

    /// An instance on a data directory that was empty at first.
    pub(crate) fn instance(&self, home: usize) -> NodeSetup {
        let password = self.postgres.password_file();
        in_bucket(
            NodeSetup::new(self.homes[home].path()),
            &self.store.url(),
            &self.bucket,
        )
        .on_chain(&self.chain.url, FUNDED_KEYS[0])
        .env("KEY_MASTER_PASSWORD", "correct horse battery staple")
        .env("DM_CATALOG_URL", &self.postgres.url())
        .env("DM_CATALOG__PASSWORD_FILE", password.to_str().unwrap())
        .env("DM_NETWORK__REPLICATION_FACTOR", "1")
    }

    /// Two instances, of which the first one leads.
    pub(crate) async fn two(&self) -> [Node; 2] {
        let first = self.instance(0).start().await;
        led(&first).await;
        let second = self.instance(1).peer(&first).start().await;
        assert_eq!(first.address(), second.address());
        [first, second]
    }

    /// A node of somebody else, which knows the first instance.
    pub(crate) async fn other_node(&self, first: &Node) -> Node {
        let other = NodeSetup::new(self.homes[3].path())
            .on_chain(&self.chain.url, FUNDED_KEYS[1])
            .env("DM_INBOX__ACCEPT", "anyone")
            .peer(first)
            .start()
            .await;
        other.has_peers(1).await;
        other
    }
}

/// Whether an instance leads, as another one sees it.
pub(crate) async fn leads(instance: &Node, seen_by: &Node) -> bool {
    let list = led(seen_by).await;
    let id = leader(&list);
    let mut listed = list["instances"].as_array().unwrap().iter();
    let leader = listed.find(|listed| listed["id"].as_str().map(str::to_owned) == id);
    let peer_id = leader.and_then(|leader| leader["peer_id"].as_str());
    peer_id.is_some_and(|peer_id| instance.started.p2p[0].ends_with(peer_id))
}

/// Waits until an instance leads.
pub(crate) async fn comes_to_lead(instance: &Node) {
    eventually("the instance leads", || async {
        leads(instance, instance).await.then_some(())
    })
    .await;
}

/// Everything that a route lists under this name, page by page.
pub(crate) async fn all_of(ask: impl Fn(&str) -> RequestBuilder, route: &str, name: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = format!("{route}limit=100{cursor}");
        let (status, page) = answer(ask(&page)).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        all.extend(page[name].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

/// How many events of a kind the log has, for each piece of data.
pub(crate) async fn events(node: &Node, kind: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let route = format!("/compliance_history?filters={kind}&");
    let ask = |route: &str| node.request(Method::GET, route);
    for event in all_of(ask, &route, "history").await {
        let hash = event["data_hash"].as_str().unwrap_or_default();
        *counts.entry(hash.to_owned()).or_default() += 1;
    }
    counts
}
