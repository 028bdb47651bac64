//! Parts of the node that work in the background, each as a supervised task.

use std::{fmt::Display, sync::Arc, time::Duration};

use anyhow::Context;
use dm_core::{
    Address,
    bus::EventBus,
    config::{EventsConfig, KeysConfig, NetworkConfig, StorageConfig},
    span::Tracer,
    tasks::Supervisor,
};
use dm_keys::{ApiKeyManager, NodeKeys};
use dm_services::{
    AuthorizationConfig, AuthorizationPorts, KeyRotation, KeyRotationConfig, KeyRotationPorts,
    OperatorChange, OperatorChangePorts, OrderExecutor, RepairPorts, Repairer, ScrubConfig, ScrubPorts,
    Scrubber, ShareAuthorization, SharedTurns, SubscriptionPorts, Subscriptions,
    events::{EventKeeper, Events},
    repairer::plan::RepairConfig,
};
use dm_storage::SqliteCatalog;
use dm_webhooks::{HttpWebhooks, WebhooksConfig};
use tokio_util::sync::CancellationToken;

/// Runs a part of the node as a task that is started again where it fails, in every instance.
pub(crate) fn supervise<Part, Run, Task, Error>(
    supervisor: &Supervisor,
    name: &'static str,
    part: &Part,
    run: Run,
) where
    Part: Clone + Send + 'static,
    Run: Fn(Part, CancellationToken) -> Task + Send + 'static,
    Task: Future<Output = Result<(), Error>> + Send + 'static,
    Error: Display + Send + 'static,
{
    let part = part.clone();
    supervisor.spawn(name, move |shutdown| run(part.clone(), shutdown));
}

/// Runs a part of the node that only one instance may run, as long as this one leads.
pub(crate) fn supervise_leading<Part, Run, Task, Error>(
    supervisor: &Supervisor,
    name: &'static str,
    part: &Part,
    run: Run,
) where
    Part: Clone + Send + Sync + 'static,
    Run: Fn(Part, CancellationToken) -> Task + Send + Sync + 'static,
    Task: Future<Output = Result<(), Error>> + Send + 'static,
    Error: Display + Send + 'static,
{
    let part = part.clone();
    supervisor.spawn_leading(name, move |over| run(part.clone(), over));
}

/// Looks after the copies of what is stored, in the background.
pub(crate) fn start_repairer(
    ports: RepairPorts,
    own: Address,
    local_peer: &str,
    network: &NetworkConfig,
    supervisor: &Supervisor,
) -> Repairer {
    let repairer = Repairer::new(ports, own, local_peer, RepairConfig::of(network));
    supervise_leading(
        supervisor,
        "repairer",
        &repairer,
        |repairer, shutdown| async move { repairer.run(shutdown).await },
    );
    repairer
}

/// Checks who orders shares, and forgets in the background what has ended.
pub(crate) fn start_authorization(
    ports: AuthorizationPorts,
    settings: AuthorizationConfig,
    supervisor: &Supervisor,
) -> ShareAuthorization {
    let authorization = ShareAuthorization::new(ports, settings);
    supervise_leading(
        supervisor,
        "authorization",
        &authorization,
        |authorization, shutdown| async move { authorization.run(shutdown).await },
    );
    authorization
}

/// Wraps content keys again in the background, and rotates the key-encryption key by its age.
pub(crate) fn start_key_rotation(
    ports: KeyRotationPorts,
    config: &KeysConfig,
    turns: Option<SharedTurns>,
    supervisor: &Supervisor,
) -> KeyRotation {
    let days = u64::from(config.rotate_after_days);
    let settings = KeyRotationConfig {
        max_age: (days > 0).then(|| Duration::from_secs(days * 86_400)),
        destroy_retired: config.destroy_retired,
    };
    let rotation = match turns {
        Some(turns) => KeyRotation::among_instances(ports, settings, turns),
        None => KeyRotation::new(ports, settings),
    };
    supervise_leading(
        supervisor,
        "key rotation",
        &rotation,
        |rotation, shutdown| async move { rotation.run(shutdown).await },
    );
    rotation
}

/// Recognises clients, and keeps in the background what their keys were used for.
pub(crate) fn start_api_keys(catalog: Arc<SqliteCatalog>, supervisor: &Supervisor) -> Arc<ApiKeyManager> {
    let keys = Arc::new(ApiKeyManager::new(catalog));
    supervise(supervisor, "api keys", &keys, |keys, shutdown| async move {
        keys.run(shutdown).await
    });
    keys
}

/// Finishes in the background what a stop has interrupted of a change of the operator account.
pub(crate) fn start_operator_change(
    ports: OperatorChangePorts,
    executor: OrderExecutor,
    supervisor: &Supervisor,
) -> OperatorChange {
    let change = OperatorChange::new(ports, executor);
    supervise_leading(
        supervisor,
        "operator account",
        &change,
        |change, shutdown| async move { change.run(shutdown).await },
    );
    change
}

/// Keeps the journal of events in the background, and reads it for programs.
pub(crate) fn start_events(
    catalog: Arc<SqliteCatalog>,
    bus: EventBus,
    node: Address,
    config: &EventsConfig,
    supervisor: &Supervisor,
) -> Events {
    let keeper = EventKeeper::new(catalog.clone(), bus.clone(), config.clone());
    supervise(supervisor, "events", &keeper, |keeper, shutdown| async move {
        keeper.run(shutdown).await
    });
    Events::new(catalog, bus, node)
}

/// Calls programs in the background when something happens.
///
/// # Errors
/// A network that is none; and where TLS cannot be set up, or the node account cannot sign.
pub(crate) fn start_subscriptions(
    catalog: Arc<SqliteCatalog>,
    keys: &NodeKeys,
    config: &EventsConfig,
    tracer: Tracer,
    supervisor: &Supervisor,
) -> anyhow::Result<Subscriptions> {
    let networks = config.allowed_networks.iter().map(|network| {
        let parsed = network.trim().parse();
        parsed.with_context(|| {
            format!("events.allowed_networks: {network:?} is no network such as 10.1.0.0/16")
        })
    });
    let allowed_networks = networks.collect::<anyhow::Result<_>>()?;
    let webhooks = HttpWebhooks::new(&WebhooksConfig { allowed_networks })?;
    let subscriptions = Subscriptions::new(SubscriptionPorts {
        catalog: catalog.clone(),
        journal: catalog,
        webhooks: Arc::new(webhooks),
        sealer: keys.sealer(),
        signer: keys.signer(),
        tracer,
    })?;
    supervise_leading(
        supervisor,
        "subscriptions",
        &subscriptions,
        |subscriptions, shutdown| async move { subscriptions.run(shutdown).await },
    );
    Ok(subscriptions)
}

/// Looks for damage in the background, and mends it.
pub(crate) fn start_scrubber(
    ports: ScrubPorts,
    storage: &StorageConfig,
    supervisor: &Supervisor,
) -> Scrubber {
    let settings = ScrubConfig {
        bytes_per_second: storage.scrub_bytes_per_sec,
        interval: Duration::from_secs(storage.scrub_interval_secs),
    };
    let scrubber = Scrubber::new(ports, settings);
    supervise_leading(supervisor, "scrub", &scrubber, |scrubber, shutdown| async move {
        scrubber.run(shutdown).await
    });
    scrubber
}
