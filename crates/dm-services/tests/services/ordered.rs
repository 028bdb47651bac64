//! A node that shares on the word of an authorised user.

use std::sync::Arc;

use dm_core::{
    Address,
    clock::now_ms,
    event::Event,
    hash::DataHash,
    mandate::{PresentedMandate, ShareDomain, ShareStatement},
    ports::{ComplianceLog, Signer},
    share::{ShareOutcome, ShareTerms},
};
use dm_services::{
    AuthorizationConfig, AuthorizationPorts, Authorizer, DataManager, ServiceError, ShareAuthorization,
};
use dm_testing::{
    catalog::MemoryCatalog,
    signer::TestSigner,
    user_keys::{AccountKeys, signed},
};

use crate::support::{TestNode, World, data, settings};

pub(crate) const NODE: &str = "node-1";
/// What `MemoryMoney` says.
pub(crate) const CHAIN: u64 = 31337;
pub(crate) const DAY: u64 = 24 * 60 * 60 * 1000;

/// A node whose user `alice` has the test account 77.
pub(crate) struct Ordered {
    pub(crate) node: TestNode,
    pub(crate) data: DataManager,
    pub(crate) authorization: ShareAuthorization,
    pub(crate) users: Authorizer,
    pub(crate) alice: TestSigner,
}

impl Ordered {
    pub(crate) async fn new(world: &World, required: bool) -> Self {
        let node = world.node(1).await;
        let users = Authorizer::new(Arc::new(MemoryCatalog::new()), Arc::new(AccountKeys));
        let alice = TestSigner::new(77);
        users
            .add("alice".parse().unwrap(), &alice.address().to_string())
            .await
            .unwrap();
        let authorization = ShareAuthorization::new(
            AuthorizationPorts {
                authorizer: users.clone(),
                used: node.catalog.clone(),
                chain: world.money.clone(),
            },
            AuthorizationConfig {
                required,
                node_id: NODE.to_owned(),
                log: node.address(),
            },
        );
        let mut ports = node.ports.clone();
        ports.authorization = Some(authorization.clone());
        Self {
            data: DataManager::new(&ports, settings()).unwrap(),
            node,
            authorization,
            users,
            alice,
        }
    }

    pub(crate) fn statement(&self, data_hash: DataHash, recipient: Address) -> ShareStatement {
        ShareStatement {
            chain_id: CHAIN,
            data_hash,
            expires_at: now_ms() + DAY,
            log: self.node.address(),
            node_id: NODE.to_owned(),
            payment: None,
            recipient,
            statement: ShareDomain::V1,
            user_id: "alice".parse().unwrap(),
        }
    }

    pub(crate) fn sign(&self, statement: &ShareStatement) -> PresentedMandate {
        let text = statement.canonical().unwrap();
        PresentedMandate {
            user_id: "alice".to_owned(),
            signature: signed(&self.alice, &text),
            statement: text,
        }
    }

    pub(crate) async fn share(
        &self,
        size: usize,
        presented: Option<PresentedMandate>,
        terms: ShareTerms,
    ) -> Result<ShareOutcome, ServiceError> {
        let terms = self.authorization.admit(presented, terms).await?;
        self.data.share_bytes(data(size), terms).await
    }

    pub(crate) async fn event(&self, index: u64) -> Event {
        self.node.log.receipt(index).await.unwrap().unwrap().event
    }
}
