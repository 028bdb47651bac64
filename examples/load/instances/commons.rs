//! What the instances of a node have in common: a database, a bucket and a chain.

use std::path::{Path, PathBuf};

use anyhow::Context;
use dm_testing::s3::Moto;
use tempfile::TempDir;

use super::postgres::{PASSWORD, Postgres};
use crate::{
    chain::{Chain, FUNDED_KEYS},
    node::Node,
};

pub(super) struct Commons {
    pub(super) binary: PathBuf,
    pub(super) bucket: String,
    pub(super) store: &'static Moto,
    postgres: Postgres,
    chain: Chain,
    home: TempDir,
}

impl Commons {
    /// New ones; `None` where PostgreSQL or the store is not installed.
    pub(super) async fn make(binary: &Path) -> anyhow::Result<Option<Self>> {
        let Some(store) = Moto::running() else {
            return Ok(None);
        };
        let Some(postgres) = Postgres::running().await else {
            return Ok(None);
        };
        let home = tempfile::tempdir()?;
        Ok(Some(Self {
            binary: binary.to_owned(),
            bucket: store.make_bucket(),
            store,
            postgres,
            chain: Chain::start(binary, &home.path().join("chain")).await?,
            home,
        }))
    }

    /// Starts the instance with this number, which knows another one.
    pub(super) async fn start(&self, number: usize, peer: Option<&Node>) -> anyhow::Result<Node> {
        let (url, password_file) = (self.postgres.url(), self.postgres.password_file());
        let password_file = password_file.to_str().context("the folder of the database")?;
        let objects_url = format!("s3://{}/node", self.bucket);
        let variables = [
            ("BLOCKCHAIN_URL", self.chain.url.as_str()),
            ("PRIVATE_KEY", FUNDED_KEYS[0]),
            ("KEY_MASTER_PASSWORD", "correct horse battery staple"),
            ("DM_CATALOG_URL", url.as_str()),
            ("DM_CATALOG__PASSWORD_FILE", password_file),
            ("DM_STORAGE__OBJECTS_URL", objects_url.as_str()),
            ("DM_STORAGE__S3__ENDPOINT", self.store.url()),
            ("DM_STORAGE__S3__ALLOW_HTTP", "true"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ];
        let home = self.home.path().join(format!("instance-{number}"));
        let args = peer.map_or(vec![], |peer| vec!["--peer", peer.p2p.as_str()]);
        Node::start_with(&self.binary, &home, &args, &variables).await
    }

    /// The address of the database, with the password.
    pub(super) fn database(&self) -> String {
        self.postgres
            .url()
            .replace("postgres@", &format!("postgres:{PASSWORD}@"))
    }
}
