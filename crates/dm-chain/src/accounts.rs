//! The account that a client acts as, and those that it has acted as before.

use std::sync::{Arc, PoisonError, RwLock};

use alloy::primitives::Address;
use dm_core::{
    operation::OperationId,
    ports::{ChainError, Signer},
};

use crate::{
    backend::AnchorTarget,
    config::ClientConfig,
    transactions::{AccountDeps, Simulator, TransactionReading, Transactions},
    tx::{Call, Draft},
};

/// The accounts of a client, each with the queue of its transactions.
pub(crate) struct Accounts {
    config: ClientConfig,
    /// What the first account works with; the others differ in the signer.
    deps: AccountDeps,
    log: Address,
    /// The present one, and then the former ones, whose transactions may still
    /// have to be mined.
    queues: RwLock<Vec<Arc<Transactions>>>,
}

impl Accounts {
    /// Starts the queue of one account. Must be called within a tokio runtime.
    pub(crate) fn start(config: ClientConfig, deps: AccountDeps) -> Self {
        let first = Arc::new(Transactions::start(&config, deps.clone()));
        Self {
            log: config.log.unwrap_or_else(|| first.account()),
            config,
            deps,
            queues: RwLock::new(vec![first]),
        }
    }

    /// Whose log is anchored.
    pub(crate) fn log(&self) -> Address {
        self.log
    }

    /// How the account may anchor the log.
    pub(crate) fn anchor_target(&self, account: Address) -> AnchorTarget {
        match account == self.log {
            true => AnchorTarget::OwnLog,
            false => AnchorTarget::LogOf(self.log),
        }
    }

    /// The present account.
    pub(crate) fn current(&self) -> Arc<Transactions> {
        let queues = self.queues.read().unwrap_or_else(PoisonError::into_inner);
        let Some(current) = queues.first() else {
            unreachable!("a client has an account from the beginning")
        };
        current.clone()
    }

    /// The account with this address, if it is one of them.
    pub(crate) fn find(&self, address: Address) -> Option<Arc<Transactions>> {
        self.all().into_iter().find(|queue| queue.account() == address)
    }

    /// The account that has begun an operation; the present one where none has.
    pub(crate) async fn that_began(&self, id: OperationId) -> Result<Arc<Transactions>, ChainError> {
        let current = self.current();
        for former in self.all().into_iter().skip(1) {
            if former.find(id).await?.is_some() {
                return Ok(former);
            }
        }
        Ok(current)
    }

    /// Fails where an account could not pay now for a transaction with this gas limit
    /// that moves no coins.
    pub(crate) async fn check_gas_money(&self, account: Address, gas_limit: u64) -> Result<(), ChainError> {
        let draft = Draft::without_transfer(Call::nothing(account), gas_limit);
        let simulator = Simulator::new(self.deps.node.clone(), account);
        simulator.check_funds(&draft, self.config.max_fee_per_gas).await
    }

    /// How the transactions of all of them get on. An account that has not found its chain
    /// yet has none.
    pub(crate) async fn transactions(&self) -> TransactionReading {
        let mut pending = 0;
        for account in self.all() {
            pending += account.report().await.map_or(0, |report| report.pending);
        }
        self.deps.meter.reading(pending)
    }

    /// Acts as this account from now on; the one before becomes a former one.
    pub(crate) fn change_to(&self, signer: Arc<dyn Signer>) {
        let mut queues = self.queues.write().unwrap_or_else(PoisonError::into_inner);
        let known = queues
            .iter()
            .position(|queue| queue.account() == signer.address());
        let queue = match known {
            Some(index) => queues.remove(index),
            None => Arc::new(self.start_queue(signer)),
        };
        queues.insert(0, queue);
    }

    /// Goes on with what a former account has begun.
    pub(crate) fn go_on_with(&self, signer: Arc<dyn Signer>) {
        let mut queues = self.queues.write().unwrap_or_else(PoisonError::into_inner);
        if queues.iter().all(|queue| queue.account() != signer.address()) {
            queues.push(Arc::new(self.start_queue(signer)));
        }
    }

    fn start_queue(&self, signer: Arc<dyn Signer>) -> Transactions {
        let deps = AccountDeps {
            signer,
            ..self.deps.clone()
        };
        Transactions::start(&self.config, deps)
    }

    /// All of them, the present one first.
    pub(crate) fn all(&self) -> Vec<Arc<Transactions>> {
        self.queues.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
