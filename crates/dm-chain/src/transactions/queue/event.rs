//! What a queue is told, and what it wants done.

use alloy::primitives::{B256, Bytes, U256};
use dm_core::{
    operation::OperationId,
    ports::{ChainError, OperationState},
};
use tokio::time::Instant;

use crate::{
    transactions::journal::{Change, Mined},
    tx::{Draft, ExpectedTransfer, Price, SigningJob, Version},
};

/// Names somebody who waits for an answer.
pub(crate) type Ticket = u64;

/// What happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// Somebody wants a transaction; with an id once, however often it is asked for.
    Ordered {
        ticket: Ticket,
        id: Option<OperationId>,
        draft: Draft,
    },
    /// Somebody asks how far a transaction is: now, or when it is mined, but
    /// no later than `until`.
    Asked {
        ticket: Ticket,
        subject: Subject,
        until: Option<Instant>,
    },
    /// Somebody needs an operation no more.
    Concluded { ticket: Ticket, id: OperationId },
    /// An [`Action::Look`] ended.
    Looked(Result<ChainSnapshot, ChainError>),
    /// An [`Action::Fetch`] ended; receipts that could not be asked for are missing.
    Fetched(Vec<(B256, Option<Mined>)>),
    /// An [`Action::Sign`] ended.
    Signed(Result<Vec<Version>, ChainError>),
    /// An [`Action::Write`] ended.
    Written(Result<(), String>),
    /// An [`Action::Send`] ended.
    Sent { hash: B256, outcome: Outcome },
    /// Time went on.
    Woken,
}

/// What shall be done. All but answers end in an event.
#[derive(Debug)]
pub(crate) enum Action {
    /// Look at the chain; one at a time.
    Look(SnapshotQuery),
    /// Ask for receipts; at most one at a time, after a look.
    Fetch(Vec<(B256, ExpectedTransfer)>),
    /// Sign transactions; one at a time.
    Sign(Vec<SigningJob>),
    /// Change the journal, all or nothing, durable; one at a time.
    Write(Change),
    /// Give a transaction to the chain.
    Send { hash: B256, bytes: Bytes },
    /// So many nonces are missing that nobody uses: order something without
    /// effect for each.
    FillGap(u64),
    /// Answer to who waits.
    Answer(Ticket, Answer),
}

/// What somebody waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The hash of a transaction that was begun.
    Begun(Result<B256, ChainError>),
    /// How far it is; `None` where the queue does not know it.
    State(Option<OperationState>),
    /// It is forgotten, if it was final.
    Concluded,
}

/// Names a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// By its operation.
    Operation(OperationId),
    /// By its hash.
    Hash(B256),
}

/// What a look must find out beside the head and the account's counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SnapshotQuery {
    /// The hash of the block with this number.
    pub(crate) block: Option<u64>,
    /// The hash of the block with this number, by which the chain is known again.
    pub(crate) landmark: Option<u64>,
    /// The account's count in the block with this number.
    pub(crate) count_at: Option<u64>,
    /// The price of gas.
    pub(crate) price: bool,
    /// The account's balance.
    pub(crate) balance: bool,
}

/// What a look found.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ChainSnapshot {
    /// Number of the newest block.
    pub(crate) height: u64,
    /// Transactions of the account that are mined.
    pub(crate) count: u64,
    /// Transactions of the account that are mined or wait without a gap.
    pub(crate) pending: u64,
    /// The hash of the block that was asked for, if the chain has one of that number.
    pub(crate) block: Option<B256>,
    /// The hash of the landmark, where the chain has a block of that number.
    pub(crate) landmark: Option<B256>,
    /// The count that was asked for, where the chain still knows.
    pub(crate) count_at: Option<u64>,
    /// The price of gas, if it was asked for.
    pub(crate) price: Option<Price>,
    /// Wei that the account has, if it was asked for.
    pub(crate) balance: Option<U256>,
}

/// What became of sending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The chain has it.
    Taken,
    /// A mined transaction has the nonce.
    NonceTooLow,
    /// Another waiting transaction has the nonce.
    NonceTaken,
    /// Transactions before it are missing.
    NonceTooHigh,
    /// It pays too little for its gas.
    FeeTooLow,
    /// There is no room for it now.
    NoRoom,
    /// The account cannot pay for it.
    LackOfFunds(ChainError),
    /// The chain says that no block can have it as it is.
    Invalid(ChainError),
    /// The chain refuses it, for a reason that may pass.
    Refused(ChainError),
    /// No answer came: the chain may have it or not.
    Unknown(ChainError),
}
