//! Sharing data, and who may: users, plugins, keys.

use std::{sync::Arc, time::Duration};

use dm_core::{config::NodeConfig, upload::UploadPlace};
use dm_keys::PublicKeys;
use dm_services::{
    AuthorizationConfig, AuthorizationPorts, Authorizer, ContactPorts, Contacts, DataConfig, DataManager,
    DataPorts, KeyRotation, KeyRotationPorts, ManyInstances, PluginManager, ShareAuthorization, SharedBells,
    inbox::{FetchPolicy, FetchPorts, Fetches, Inbox, InboxPorts, InboxSettings},
    shares::{Shares, SharesPorts},
};

use super::{Ground, ledger::Ledger, network::Peers, stores::Stores};
use crate::{
    background::{self, supervise, supervise_leading},
    data_dir,
    namespaces::Namespace,
    node_attestation, plugins,
};

/// The node's main job.
pub(super) struct Data {
    pub(super) data: DataManager,
    pub(super) plugins: PluginManager,
    pub(super) users: Authorizer,
    pub(super) contacts: Contacts,
    pub(super) authorization: ShareAuthorization,
    pub(super) key_rotation: KeyRotation,
    pub(super) inbox: Inbox,
    pub(super) shares: Shares,
}

impl Data {
    pub(super) async fn start(
        ground: &Ground<'_>,
        stores: &Stores,
        ledger: &Ledger,
        peers: &Peers,
    ) -> anyhow::Result<Self> {
        let (config, keys, supervisor) = (ground.config, ground.keys, &ground.supervisor);
        let (catalog, address) = (&stores.catalog, ground.address);
        let namespace = stores.namespace(config, Namespace::Plugins);
        let plugins = plugins::open(config, address, namespace, catalog.clone(), ground.bus.clone()).await?;
        let users = Authorizer::new(catalog.clone(), Arc::new(PublicKeys));
        let contacts = Contacts::new(ContactPorts {
            book: catalog.clone(),
            directory: peers.network.clone(),
            bus: ground.bus.clone(),
        });
        supervise_leading(
            supervisor,
            "contacts",
            &contacts,
            |contacts, shutdown| async move { contacts.run(shutdown).await },
        );
        let authorization = background::start_authorization(
            AuthorizationPorts {
                authorizer: users.clone(),
                used: catalog.clone(),
                chain: ledger.chain.clone(),
            },
            AuthorizationConfig {
                required: config.authorization.required,
                node_id: config.node_id.clone(),
                log: address,
            },
            supervisor,
        );
        let peer_id = peers.network.local_peer_id();
        let data = DataManager::new(
            &DataPorts {
                objects: stores.storage.objects(),
                unfinished: stores.storage.unfinished(),
                catalog: catalog.clone(),
                sealer: keys.sealer(),
                key_ring: keys.key_ring(),
                grants: keys.grants(),
                signer: keys.signer(),
                operators: Some(Arc::new(keys.clone())),
                network: peers.network.clone(),
                log: ledger.compliance.clone(),
                payments: Some(ledger.payments.clone()),
                authorization: Some(authorization.clone()),
                attestation: node_attestation::check(config, &users, address, &peer_id).await?,
                instances: many_instances(config, stores)?,
                deliveries: Some(peers.deliveries.clone()),
                late_news: peers.late_news.clone(),
                plugins: Some(plugins.clone()),
                bus: ground.bus.clone(),
            },
            DataConfig {
                replication_factor: config.network.replication_factor,
                anchor_patience: Duration::from_secs(config.compliance.anchor_timeout_secs),
                retry_interval: Duration::from_secs(config.network.retry_interval_secs),
                uploads: config.uploads,
            },
        )?;
        data.announce().await?;
        supervise_leading(supervisor, "upkeep", &data, |data, shutdown| async move {
            data.run_upkeep(shutdown).await
        });
        supervise(supervisor, "own upkeep", &data, |data, shutdown| async move {
            data.run_own_upkeep(shutdown).await
        });
        let key_rotation = key_rotation(ground, stores, ledger);
        if ground.leadership.is_some() {
            share_bells(ground, stores, peers, &data, &key_rotation);
        }
        Ok(Self {
            inbox: inbox(ground, stores, ledger, peers, &plugins, &data)?,
            shares: shares(ground, stores, ledger, &data)?,
            data,
            plugins,
            users,
            contacts,
            authorization,
            key_rotation,
        })
    }
}

/// The instances of the node, where its catalog is in a database.
fn many_instances(config: &NodeConfig, stores: &Stores) -> anyhow::Result<Option<ManyInstances>> {
    let Some(turns) = stores.turns(config) else {
        return Ok(None);
    };
    let [first, second, third, fourth, ..] = data_dir::instance(&config.data_dir)?;
    Ok(Some(ManyInstances {
        all: stores.catalog.clone(),
        place: UploadPlace([first, second, third, fourth]),
        turns,
    }))
}

/// Lets the leader hear of the work that requests of other instances leave to it.
fn share_bells(
    ground: &Ground<'_>,
    stores: &Stores,
    peers: &Peers,
    data: &DataManager,
    key_rotation: &KeyRotation,
) {
    let mut bells = data.bells();
    bells.push(("arrivals", peers.arrivals.bell()));
    bells.push(("deliveries", peers.deliveries.bell()));
    bells.push(("key rotation", key_rotation.bell()));
    let bells = SharedBells::new(stores.namespace(ground.config, Namespace::Bells), bells);
    supervise(
        &ground.supervisor,
        "bells",
        &bells,
        |bells, shutdown| async move { bells.run(shutdown).await },
    );
}

fn inbox(
    ground: &Ground<'_>,
    stores: &Stores,
    ledger: &Ledger,
    peers: &Peers,
    plugins: &PluginManager,
    data: &DataManager,
) -> anyhow::Result<Inbox> {
    let (config, keys) = (ground.config, ground.keys);
    let ports = InboxPorts {
        objects: stores.storage.objects(),
        catalog: stores.catalog.clone(),
        network: peers.network.clone(),
        grants: keys.grants(),
        sealer: keys.sealer(),
        signer: keys.signer(),
        log: ledger.compliance.clone(),
        acquaintance: Some(peers.owners.clone()),
        arrivals: peers.arrivals.clone(),
        deliveries: peers.deliveries.clone(),
        plugins: Some(plugins.clone()),
        fetches: Some(fetches(ground, stores, peers, plugins, data)?),
        data: data.clone(),
    };
    let settings = InboxSettings {
        accept: config.inbox.accept,
        retry_interval: Duration::from_secs(config.network.retry_interval_secs),
    };
    let inbox = Inbox::new(ports, settings)?;
    supervise_leading(
        &ground.supervisor,
        "inbox",
        &inbox,
        |inbox, shutdown| async move { inbox.run(shutdown).await },
    );
    Ok(inbox)
}

/// What fetches listed items at once.
fn fetches(
    ground: &Ground<'_>,
    stores: &Stores,
    peers: &Peers,
    plugins: &PluginManager,
    data: &DataManager,
) -> anyhow::Result<Fetches> {
    let ports = FetchPorts {
        catalog: stores.catalog.clone(),
        objects: stores.storage.objects(),
        quota: Some(stores.storage.quota()),
        queue: stores.namespace(ground.config, Namespace::Fetches),
        sealer: ground.keys.sealer(),
        signer: ground.keys.signer(),
        acquaintance: Some(peers.owners.clone()),
        plugins: Some(plugins.clone()),
        data: data.clone(),
    };
    let fetches = Fetches::new(ports, FetchPolicy::new(&ground.config.inbox.fetch)?)?;
    supervise_leading(
        &ground.supervisor,
        "fetches",
        &fetches,
        |fetches, shutdown| async move { fetches.run(shutdown).await },
    );
    Ok(fetches)
}

fn shares(
    ground: &Ground<'_>,
    stores: &Stores,
    ledger: &Ledger,
    data: &DataManager,
) -> anyhow::Result<Shares> {
    let ports = SharesPorts {
        catalog: stores.catalog.clone(),
        log: ledger.compliance.clone(),
        sealer: ground.keys.sealer(),
        signer: ground.keys.signer(),
        payments: ledger.payments.clone(),
        data: data.clone(),
    };
    Ok(Shares::new(ports, ground.config.network.replication_factor)?)
}

fn key_rotation(ground: &Ground<'_>, stores: &Stores, ledger: &Ledger) -> KeyRotation {
    let (keys, catalog) = (ground.keys, &stores.catalog);
    let ports = KeyRotationPorts {
        key_ring: keys.key_ring(),
        readable: catalog.clone(),
        uses: catalog.clone(),
        grants: keys.grants(),
        password: Arc::new(keys.clone()),
        changes: catalog.clone(),
        log: ledger.compliance.clone(),
    };
    let turns = stores.turns(ground.config);
    background::start_key_rotation(ports, &ground.config.keys, turns, &ground.supervisor)
}
