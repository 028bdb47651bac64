//! Filters that clients poll: `eth_newFilter` and its relatives.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use alloy::{
    primitives::{B256, U64},
    rpc::types::{Filter, FilterBlockOption},
};
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::{Answer, Params, RpcError, json, logs};
use crate::embedded::chain::{Chain, now};

/// A filter that nobody polls for so long is gone, as in geth.
const LIFETIME: Duration = Duration::from_secs(300);
/// Filters that there may be at a time.
const MAX_FILTERS: usize = 1_000;
/// Hashes that a filter keeps for its next poll; one that has more is gone.
const MAX_PENDING: usize = 10_000;
/// Blocks that the answer to one poll covers; the next poll goes on behind them.
const MAX_BLOCKS: u64 = 1_000;

/// All filters of a chain.
pub(super) struct Filters(Mutex<Installed>);

struct Installed {
    filters: HashMap<U64, Installation>,
    next_id: u64,
}

struct Installation {
    filter: Watched,
    polled: Instant,
}

/// What a filter waits for.
enum Watched {
    /// Logs from this block on.
    Logs { filter: Box<Filter>, next: u64 },
    /// Blocks from this one on.
    Blocks { next: u64 },
    /// Transactions that were sent since the last poll.
    Transactions { sent: Vec<B256> },
}

/// What one poll reads of the chain.
enum Poll {
    Logs { filter: Box<Filter>, first: u64 },
    Blocks { first: u64 },
    Transactions(Vec<B256>),
}

impl Default for Filters {
    fn default() -> Self {
        Self(Mutex::new(Installed {
            filters: HashMap::new(),
            // The id of a filter from before a restart names no other one after it.
            next_id: now() << 20,
        }))
    }
}

impl Filters {
    /// `eth_newFilter`: logs of blocks to come.
    pub(super) fn new_logs(&self, chain: &Chain, params: &Params<'_>) -> Answer {
        let filter: Box<Filter> = Box::new(params.required(0)?);
        if matches!(filter.block_option, FilterBlockOption::AtBlockHash(_)) {
            return Err(RpcError::invalid_params(
                "a filter that is polled takes no blockHash",
            ));
        }
        let next = height(chain) + 1;
        self.install(Watched::Logs { filter, next })
    }

    /// `eth_newBlockFilter`: hashes of blocks to come.
    pub(super) fn new_blocks(&self, chain: &Chain) -> Answer {
        let next = height(chain) + 1;
        self.install(Watched::Blocks { next })
    }

    /// `eth_newPendingTransactionFilter`: hashes of transactions to come.
    pub(super) fn new_transactions(&self) -> Answer {
        self.install(Watched::Transactions { sent: Vec::new() })
    }

    /// `eth_uninstallFilter`: whether there was such a filter.
    pub(super) fn uninstall(&self, params: &Params<'_>) -> Answer {
        let id: U64 = params.required(0)?;
        json(self.installed().filters.remove(&id).is_some())
    }

    /// `eth_getFilterChanges`: what came since the last poll.
    pub(super) fn changes(&self, chain: &Chain, params: &Params<'_>) -> Answer {
        let id: U64 = params.required(0)?;
        match self.poll(id)? {
            Poll::Transactions(sent) => json(sent),
            Poll::Blocks { first } => {
                let blocks = chain.store().blocks(first, last_of(chain, first))?;
                self.go_on(id, first + blocks.len() as u64);
                json(blocks.iter().map(|block| block.hash).collect::<Vec<_>>())
            }
            Poll::Logs { filter, first } => {
                let (found, next) = logs::from(chain, &filter, first, last_of(chain, first))?;
                self.go_on(id, next);
                json(found)
            }
        }
    }

    /// `eth_getFilterLogs`: all that a filter of logs matches.
    pub(super) fn logs(&self, chain: &Chain, params: &Params<'_>) -> Answer {
        let id: U64 = params.required(0)?;
        match self.installed().filters.get_mut(&id) {
            Some(Installation {
                filter: Watched::Logs { filter, .. },
                polled,
            }) => {
                *polled = Instant::now();
                let filter = filter.clone();
                json(logs::matching(chain, &filter)?)
            }
            _ => Err(not_found()),
        }
    }

    /// A transaction was sent.
    pub(super) fn sent(&self, hash: B256) {
        self.installed().filters.retain(|_, installation| {
            let Watched::Transactions { sent } = &mut installation.filter else {
                return true;
            };
            sent.push(hash);
            sent.len() <= MAX_PENDING
        });
    }

    fn install(&self, filter: Watched) -> Answer {
        let mut installed = self.installed();
        if installed.filters.len() >= MAX_FILTERS {
            return Err(RpcError::new(
                -32005,
                format!("there are {MAX_FILTERS} filters already; uninstall some").into(),
            ));
        }
        let id = U64::from(installed.next_id);
        installed.next_id += 1;
        let polled = Instant::now();
        installed.filters.insert(id, Installation { filter, polled });
        json(id)
    }

    /// What is to be read for a poll; the filters are not held meanwhile.
    fn poll(&self, id: U64) -> Result<Poll, RpcError> {
        let mut installed = self.installed();
        let installation = installed.filters.get_mut(&id).ok_or_else(not_found)?;
        installation.polled = Instant::now();
        Ok(match &mut installation.filter {
            Watched::Transactions { sent } => Poll::Transactions(std::mem::take(sent)),
            Watched::Blocks { next } => Poll::Blocks { first: *next },
            Watched::Logs { filter, next } => Poll::Logs {
                filter: filter.clone(),
                first: *next,
            },
        })
    }

    /// The next poll begins at this block.
    fn go_on(&self, id: U64, from: u64) {
        if let Some(installation) = self.installed().filters.get_mut(&id) {
            match &mut installation.filter {
                Watched::Logs { next, .. } | Watched::Blocks { next } => *next = from,
                Watched::Transactions { .. } => {}
            }
        }
    }

    /// The filters that are not forgotten.
    fn installed(&self) -> MutexGuard<'_, Installed> {
        let mut installed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        installed
            .filters
            .retain(|_, installation| now.duration_since(installation.polled) < LIFETIME);
        installed
    }
}

fn height(chain: &Chain) -> u64 {
    chain.head().block.header.number
}

/// The last block that a poll from `first` on covers.
fn last_of(chain: &Chain, first: u64) -> u64 {
    height(chain).min(first.saturating_add(MAX_BLOCKS - 1))
}

fn not_found() -> RpcError {
    RpcError::refused("filter not found")
}

/// Whether filters answer this method.
pub(super) fn answers(method: &str) -> Option<FilterMethod> {
    Some(match method {
        "eth_newFilter" => |filters, chain, params| filters.new_logs(chain, params),
        "eth_newBlockFilter" => |filters, chain, _| filters.new_blocks(chain),
        "eth_newPendingTransactionFilter" => |filters, _, _| filters.new_transactions(),
        "eth_getFilterChanges" => |filters, chain, params| filters.changes(chain, params),
        "eth_getFilterLogs" => |filters, chain, params| filters.logs(chain, params),
        "eth_uninstallFilter" => |filters, _, params| filters.uninstall(params),
        _ => return None,
    })
}

/// A method that filters answer.
pub(super) type FilterMethod = fn(&Filters, &Chain, &Params<'_>) -> Result<Box<RawValue>, RpcError>;
