//! The peers, and what keeps the copies of objects up and whole.

use std::{sync::Arc, time::Duration};

use dm_core::ports::{Network, OwnerStanding};
use dm_p2p::{Identity, P2p, P2pConfig, P2pDeps};
use dm_services::{
    AnchoredOwners, Deliveries, DeliveryPorts, DeliverySettings, KnownOwners, LateNews, Letterbox,
    NoticePorts, Notices, RepairPorts, Repairer, ReplicaNoticePorts, ReplicaNotices, ScrubPorts, Scrubber,
    inbox::Arrivals, repairer::StoredHolderIndex,
};

use super::{Ground, ledger::Ledger, stores::Stores};
use crate::{
    background::{self, supervise_leading},
    data_dir,
    namespaces::Namespace,
};

/// The network and those who work with it alone.
pub(super) struct Peers {
    pub(super) network: Arc<dyn Network>,
    pub(super) repairer: Repairer,
    pub(super) scrubber: Scrubber,
    pub(super) arrivals: Arrivals,
    pub(super) deliveries: Deliveries,
    /// Who has got a grant that was owed, and which envelopes have got receipts.
    pub(super) late_news: LateNews,
    pub(super) owners: Arc<KnownOwners>,
}

impl Peers {
    pub(super) async fn start(ground: &Ground<'_>, stores: &Stores, ledger: &Ledger) -> anyhow::Result<Self> {
        let (config, supervisor) = (ground.config, &ground.supervisor);
        let anchored = Arc::new(AnchoredOwners::new(ledger.chain.clone()));
        let owners = Arc::new(KnownOwners::new(stores.catalog.clone(), anchored));
        let standing: Arc<dyn OwnerStanding> = owners.clone();
        let arrivals = Arrivals::new(stores.catalog.clone());
        let deliveries = deliveries(ground, stores, ledger);
        let letterbox = Letterbox::new(
            ground.address,
            owners.clone(),
            arrivals.clone(),
            deliveries.clone(),
        );
        // It follows the changes of the objects that are kept here.
        let index = stores.namespace(config, Namespace::Repair);
        let holders = Arc::new(StoredHolderIndex::new(index.clone()));
        let p2p = P2p::start(
            P2pConfig {
                port: config.p2p_port,
                initial_peers: config.initial_peers.clone(),
                network: config.network.clone(),
                ..P2pConfig::new(identity(ground)?, ground.address)
            },
            P2pDeps {
                holder_index: Some(holders),
                quota: Some(stores.storage.quota()),
                standing: Some(standing.clone()),
                notices: Some(stores.namespace(config, Namespace::Notices)),
                notice_sink: Some(Arc::new(letterbox)),
                tracer: ground.tracer.clone(),
                ..P2pDeps::new(stores.known.clone(), stores.catalog.clone(), ground.bus.clone())
            },
            supervisor,
        )
        .await?;
        let network: Arc<dyn Network> = p2p.clone();
        let late_news = LateNews::default();
        let notices = Notices::new(NoticePorts {
            network: p2p.clone(),
            journal: stores.catalog.clone(),
            objects: stores.known.clone(),
            outbox: stores.namespace(config, Namespace::Outbox),
            shares: stores.catalog.clone(),
            sent: stores.catalog.clone(),
            signer: ground.keys.signer(),
            contacts: stores.catalog.clone(),
            arrivals: arrivals.clone(),
            deliveries: deliveries.clone(),
            bus: ground.bus.clone(),
            late_news: late_news.clone(),
        });
        supervise_leading(supervisor, "notices", &notices, |notices, shutdown| async move {
            notices.run(shutdown).await
        });
        let replica_notices = replica_notices(ground, stores, p2p.clone(), standing.clone());
        let repairer = background::start_repairer(
            RepairPorts {
                objects: stores.known.clone(),
                changes: stores.storage.changes(),
                replication: p2p,
                index,
                earlier_holders: stores.namespace(config, Namespace::Holders),
                shares: stores.catalog.clone(),
                quota: stores.storage.quota(),
                arrivals: Some(arrivals.clone()),
                replica_notices: Some(replica_notices),
                standing: Some(standing),
            },
            ground.address,
            &network.local_peer_id(),
            &config.network,
            supervisor,
        );
        let scrubber = background::start_scrubber(
            ScrubPorts {
                objects: stores.storage.objects(),
                damage: stores.storage.damage(),
                quota: stores.storage.quota(),
                network: network.clone(),
                bus: ground.bus.clone(),
            },
            &config.storage,
            supervisor,
        );
        Ok(Self {
            network,
            repairer,
            scrubber,
            arrivals,
            deliveries,
            late_news,
            owners,
        })
    }
}

/// What records and brings acknowledgements.
fn deliveries(ground: &Ground<'_>, stores: &Stores, ledger: &Ledger) -> Deliveries {
    let ports = DeliveryPorts {
        catalog: stores.catalog.clone(),
        objects: stores.known.clone(),
        log: ledger.compliance.clone(),
        signer: ground.keys.signer(),
    };
    let settings = DeliverySettings {
        acknowledge: ground.config.inbox.acknowledge,
        retry_interval: Duration::from_secs(ground.config.network.retry_interval_secs),
    };
    let deliveries = match stores.turns(ground.config) {
        Some(turns) => Deliveries::among_instances(ports, settings, turns),
        None => Deliveries::new(ports, settings),
    };
    supervise_leading(
        &ground.supervisor,
        "deliveries",
        &deliveries,
        |deliveries, shutdown| async move { deliveries.run(shutdown).await },
    );
    deliveries
}

/// Who this process is among its peers: instances that have their keys in common are several.
fn identity(ground: &Ground<'_>) -> anyhow::Result<Identity> {
    let seed = match ground.config.catalog_url {
        Some(_) => ground
            .keys
            .identity_seed_of(&data_dir::instance(&ground.config.data_dir)?),
        None => ground.keys.identity_seed(),
    };
    Ok(Identity::from_seed(&seed)?)
}

/// What tells recipients in the place of owners that are gone.
fn replica_notices(
    ground: &Ground<'_>,
    stores: &Stores,
    network: Arc<P2p>,
    standing: Arc<dyn OwnerStanding>,
) -> ReplicaNotices {
    let ports = ReplicaNoticePorts {
        network,
        objects: stores.known.clone(),
        queue: stores.namespace(ground.config, Namespace::ReplicaNotices),
        standing: Some(standing),
        signer: ground.keys.signer(),
    };
    // Owners that are there tell their recipients at once.
    let patience = 4 * Duration::from_secs(ground.config.network.retry_interval_secs);
    let notices = ReplicaNotices::new(ports, patience);
    supervise_leading(
        &ground.supervisor,
        "replica notices",
        &notices,
        |notices, shutdown| async move { notices.run(shutdown).await },
    );
    notices
}
