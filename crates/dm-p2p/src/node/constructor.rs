use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use dm_core::{peer::PeerRecord, ports::PeerCatalog, tasks::Supervisor};
use libp2p::{Multiaddr, PeerId};
use tokio_util::sync::CancellationToken;

use super::{
    Context,
    runner::Runner,
    swarm::{ListeningSwarm, listening_swarm},
};
use crate::{
    config::{P2pConfig, P2pDeps},
    dht::{ProviderLimits, ProviderRecords, keep_announcing, provide_from_queue, provide_stored},
    error::P2pError,
    parsed_config::ParsedConfig,
    peers::{Peers, is_steady, persist_peer_book},
};

/// Peers of the book that are dialled at the start, steady ones first and then the last seen.
const MAX_REMEMBERED: usize = 32;

/// Reads the configuration, binds the listeners, loads the peer book and starts the
/// background tasks.
pub(crate) async fn start(
    config: P2pConfig,
    deps: P2pDeps,
    supervisor: &Supervisor,
) -> Result<Arc<Context>, P2pError> {
    let parsed = ParsedConfig::read(&config.initial_peers, &config.network).map_err(P2pError::Config)?;
    let records = deps.peers.peers().await?;
    let remembered = remembered(&records);
    let peers = Peers::new(records, parsed.named_peers(), &config.network, deps.bus.clone());
    let peers = Arc::new(peers);
    let providers = ProviderRecords::new(config.identity.id(), ProviderLimits::default());
    let providers = Arc::new(providers);
    let swarm = listening_swarm(&config, &parsed, &peers, &providers).await?;
    let context = Arc::new(Context::new(&config, &deps, peers, providers));
    let factory = RunnerFactory {
        config,
        parsed,
        remembered,
        context: context.clone(),
    };
    let runner = factory.runner(swarm);
    spawn_runner(factory, runner, supervisor);
    spawn_background_tasks(&context, deps.peers, supervisor);
    Ok(context)
}

/// What the event loop is made from, at the start and after a failure.
struct RunnerFactory {
    config: P2pConfig,
    parsed: ParsedConfig,
    remembered: Vec<(PeerId, Vec<Multiaddr>)>,
    context: Arc<Context>,
}

impl RunnerFactory {
    fn runner(&self, swarm: ListeningSwarm) -> Runner {
        Runner::new(swarm, self.context.clone(), &self.parsed)
    }
}

/// Runs the event loop; the first attempt takes the swarm that listens already.
fn spawn_runner(factory: RunnerFactory, first: Runner, supervisor: &Supervisor) {
    let factory = Arc::new(factory);
    let first = Mutex::new(Some(first));
    supervisor.spawn("p2p-swarm", move |shutdown| {
        let factory = factory.clone();
        let runner = first.lock().unwrap_or_else(PoisonError::into_inner).take();
        async move {
            let runner = match runner {
                Some(runner) => runner,
                None => {
                    let (peers, providers) = (&factory.context.peers, &factory.context.providers);
                    let swarm = listening_swarm(&factory.config, &factory.parsed, peers, providers);
                    factory.runner(swarm.await?)
                }
            };
            Box::pin(runner.run(factory.remembered.clone(), shutdown)).await
        }
    });
}

fn spawn_background_tasks(context: &Arc<Context>, catalog: Arc<dyn PeerCatalog>, supervisor: &Supervisor) {
    let book = context.clone();
    supervisor.spawn("p2p-peer-book", move |shutdown| {
        let (context, catalog) = (book.clone(), catalog.clone());
        async move { persist_peer_book(&context.peers, &catalog, shutdown).await }
    });
    let interval = Duration::from_secs(context.network.announce_interval_secs);
    spawn_task(supervisor, "p2p-announce", context, move |context, shutdown| {
        keep_announcing(context, interval, shutdown)
    });
    spawn_task(supervisor, "p2p-provide", context, provide_from_queue);
    spawn_task(supervisor, "p2p-provide-stored", context, provide_stored);
}

fn spawn_task<Make, Task, Error>(supervisor: &Supervisor, name: &str, context: &Arc<Context>, make: Make)
where
    Make: Fn(Arc<Context>, CancellationToken) -> Task + Send + 'static,
    Task: Future<Output = Result<(), Error>> + Send + 'static,
    Error: std::fmt::Display + Send + 'static,
{
    let context = context.clone();
    supervisor.spawn(name, move |shutdown| make(context.clone(), shutdown));
}

/// Peers of the book with addresses that can be dialled.
fn remembered(records: &[PeerRecord]) -> Vec<(PeerId, Vec<Multiaddr>)> {
    let (steady, others): (Vec<_>, Vec<_>) = records.iter().partition(|record| is_steady(record));
    let dialable = steady.into_iter().chain(others).filter_map(|record| {
        let peer = record.peer_id.parse().ok()?;
        let addresses: Vec<Multiaddr> = record
            .addresses
            .iter()
            .filter_map(|address| address.parse().ok())
            .collect();
        (!addresses.is_empty()).then_some((peer, addresses))
    });
    dialable.take(MAX_REMEMBERED).collect()
}
