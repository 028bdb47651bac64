//! Instances of one node that have a database, a bucket and a chain in common.

use std::collections::BTreeMap;

use dm_testing::{
    s3::{FaultProxy, Moto},
    waiting::eventually,
};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use super::{Devnet, FUNDED_KEYS, Node, NodeSetup, http::answer, pooler::Pooler, postgres::Postgres};
use crate::{
    instances::{leader, led},
    s3::in_bucket,
};

/// What the instances of a node have in common.
pub(crate) struct Commons {
    pub(crate) postgres: Postgres,
    /// Between the instances and the database, where there is one.
    pooler: Option<Pooler>,
    /// Has every commit that clients were told of, where there is one.
    standby: Option<Postgres>,
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
            pooler: None,
            standby: None,
            bucket: moto.make_bucket(),
            store: FaultProxy::before(moto.url()),
            chain: Devnet::start(homes[4].path()).await,
            homes,
        })
    }

    /// The same with a synchronous standby of the database, and pgbouncer before both.
    pub(crate) async fn with_standby() -> Option<Self> {
        let mut commons = Self::make().await?;
        commons.pooler = Some(Pooler::before(&commons.postgres).await?);
        commons.add_standby().await;
        Some(commons)
    }

    /// Gives the database a synchronous standby, where it has none.
    pub(crate) async fn add_standby(&mut self) {
        if self.standby.is_none() {
            self.standby = Some(self.postgres.synchronous_standby().await);
        }
    }

    /// Kills the database, and lets its standby take its place.
    pub(crate) async fn fail_over(&mut self) {
        self.postgres.kill().await;
        let standby = self.standby.take().expect("there is a standby");
        standby.promote().await;
        if let Some(pooler) = &self.pooler {
            pooler.turn_to(&standby);
        }
        self.postgres = standby;
    }

    /// Kills pgbouncer, and starts it again.
    pub(crate) async fn restart_pooler(&mut self) {
        let pooler = self.pooler.as_mut().expect("there is a pooler");
        pooler.restart().await;
    }

    /// An instance on a data directory that was empty at first.
    pub(crate) fn instance(&self, home: usize) -> NodeSetup {
        let setup = in_bucket(
            NodeSetup::new(self.homes[home].path()),
            &self.store.url(),
            &self.bucket,
        )
        .on_chain(&self.chain.url, FUNDED_KEYS[0])
        .env("KEY_MASTER_PASSWORD", "correct horse battery staple")
        .env("DM_NETWORK__REPLICATION_FACTOR", "1");
        match &self.pooler {
            // It has the password.
            Some(pooler) => setup
                .env("DM_CATALOG_URL", &pooler.url())
                .env("DM_CATALOG__THROUGH_POOLER", "true"),
            None => setup.env("DM_CATALOG_URL", &self.postgres.url()).env(
                "DM_CATALOG__PASSWORD_FILE",
                self.postgres.password_file().to_str().unwrap(),
            ),
        }
    }

    /// Two instances, of which the first one leads.
    pub(crate) async fn two(&self) -> [Node; 2] {
        let first = self.instance(0).start().await;
        led(&first).await;
        let second = self.instance(1).peer(&first).start().await;
        assert_eq!(first.address(), second.address());
        [first, second]
    }

    /// How many large objects the bucket has.
    pub(crate) async fn bodies(&self) -> usize {
        let (mut count, mut last) = (0, String::new());
        loop {
            let url = format!(
                "{}/{}?list-type=2&prefix=node/bodies/&start-after={last}",
                self.store.url(),
                self.bucket
            );
            let page = reqwest::get(url).await.unwrap().text().await.unwrap();
            let keys = page.split("<Key>").skip(1);
            let names: Vec<&str> = keys.filter_map(|key| key.split('<').next()).collect();
            let Some(end) = names.last() else { return count };
            count += names.len();
            last = (*end).to_owned();
        }
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
