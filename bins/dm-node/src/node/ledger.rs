//! The chain, the compliance log that is anchored on it, and the money that moves there.

use std::{sync::Arc, time::Duration};

use dm_chain::{EvmClient, embedded::EmbeddedChain};
use dm_compliance::ComplianceManager;
use dm_core::{address::parse_address, ports::ComplianceLog};
use dm_services::{
    LeaderCalls, MoneyConfig, MoneyPorts, OperatorChange, OperatorChangePorts, OrderExecutor,
    PaymentProcessor,
};

use super::{Ground, stores::Stores};
use crate::{
    background::{self, supervise, supervise_leading},
    chain,
    namespaces::Namespace,
};

/// What stands on the chain.
pub(super) struct Ledger {
    pub(super) chain: Arc<EvmClient>,
    pub(super) embedded_chain: Option<EmbeddedChain>,
    pub(super) compliance: Arc<ComplianceManager>,
    pub(super) executor: OrderExecutor,
    pub(super) payments: PaymentProcessor,
    pub(super) operator_change: OperatorChange,
}

impl Ledger {
    pub(super) async fn start(ground: &Ground<'_>, stores: &Stores) -> anyhow::Result<Self> {
        let (config, supervisor) = (ground.config, &ground.supervisor);
        let journal = stores.namespace(config, Namespace::Transactions);
        let journal = match &ground.leadership {
            // Whatever is sent is written down before, so that the leader alone sends.
            Some(leadership) if !config.uses_devnet() => leadership.guard(journal),
            _ => journal,
        };
        let (chain, embedded_chain) = chain::connect(config, ground.keys, &stores.storage, journal).await?;
        let chain = Arc::new(chain);
        let compliance = ComplianceManager::start(
            ground.address,
            stores.catalog.clone(),
            chain.clone(),
            config.compliance.clone(),
            ground.bus.clone(),
            ground.tracer.clone(),
            supervisor,
        )
        .await?;
        let log: Arc<dyn ComplianceLog> = compliance.clone();
        let executor = executor(ground, stores, &chain, log.clone())?;
        let operator_change = background::start_operator_change(
            OperatorChangePorts {
                chain: chain.clone(),
                keys: Arc::new(ground.keys.clone()),
                changes: stores.catalog.clone(),
                log,
            },
            executor.clone(),
            supervisor,
        );
        if ground.leadership.is_some() {
            supervise(
                supervisor,
                "operator account of all",
                &operator_change,
                |change, shutdown| async move { change.follow(shutdown).await },
            );
        }
        supervise_leading(supervisor, "orders", &executor, |executor, shutdown| async move {
            executor.run(shutdown).await
        });
        Ok(Self {
            chain,
            embedded_chain,
            compliance,
            payments: PaymentProcessor::new(executor.clone()),
            executor,
            operator_change,
        })
    }
}

/// What keeps orders, and carries them out.
fn executor(
    ground: &Ground<'_>,
    stores: &Stores,
    chain: &Arc<EvmClient>,
    log: Arc<dyn ComplianceLog>,
) -> anyhow::Result<OrderExecutor> {
    let config = ground.config;
    let ports = MoneyPorts {
        chain: chain.clone(),
        tokens: chain.clone(),
        operations: chain.clone(),
        orders: stores.catalog.clone(),
        supported: stores.catalog.clone(),
        log,
        bus: ground.bus.clone(),
    };
    let settings = MoneyConfig {
        native_alias: parse_address(&config.native_token_address)?,
        patience: Duration::from_secs(config.payments.patience_secs),
        refund_after: Duration::from_secs(config.payments.refund_after_secs),
        retry_interval: Duration::from_secs(config.network.retry_interval_secs),
    };
    Ok(match ground.leadership {
        Some(_) => OrderExecutor::among_instances(
            ports,
            settings,
            LeaderCalls::new(stores.namespace(ground.config, Namespace::LeaderCalls)),
        ),
        None => OrderExecutor::new(ports, settings),
    })
}
