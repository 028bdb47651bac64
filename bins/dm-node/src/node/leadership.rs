//! Which instances the node has, and which of them leads.

use std::sync::Arc;

use dm_core::{config::NodeConfig, instance::Instance, ports::Network, tasks::Supervisor};
use dm_services::{Leadership, LeadershipConfig, Membership};

use super::{Ground, stores::Stores};
use crate::{background::supervise, instance::described};

/// What runs the node's tasks. With a catalog in a database it lets those of the leader run while
/// this instance has the lease; else they always run, and no lease is written.
pub(super) fn start(config: &NodeConfig, stores: &Stores) -> (Supervisor, Option<Leadership>) {
    if config.catalog_url.is_none() {
        return (Supervisor::new(), None);
    }
    let leadership = Leadership::new(
        stores.catalog.clone(),
        stores.instance,
        LeadershipConfig::default(),
    );
    let supervisor = Supervisor::led_by(Arc::new(leadership.clone()));
    supervise(
        &supervisor,
        "leadership",
        &leadership,
        |leadership, shutdown| async move { leadership.run(shutdown).await },
    );
    (supervisor, Some(leadership))
}

/// Says that this instance is there, where others may ask for it.
pub(super) fn join(ground: &Ground<'_>, stores: &Stores, network: &dyn Network) -> Membership {
    let own = Instance {
        peer_id: Some(network.local_peer_id()),
        addresses: network.listen_addresses(),
        ..described(ground.config, stores.instance)
    };
    if ground.config.catalog_url.is_none() {
        return Membership::alone(own);
    }
    let membership = Membership::among(own, stores.catalog.clone(), stores.catalog.clone());
    supervise(
        &ground.supervisor,
        "membership",
        &membership,
        |membership, shutdown| async move { membership.run(shutdown).await },
    );
    membership
}
