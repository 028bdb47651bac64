//! What can be written, and what came of it.

use std::sync::Arc;

use dm_core::{
    Address,
    api_key::{ApiKeyRecord, KeyUsage},
    envelope::ObjectId,
    hash::DataHash,
    operation::OperationId,
    order::{OrderRecord, OrderState, TokenRecord, Tries},
    peer::PeerRecord,
    ports::{
        AnchoredCheckpoint, BegunKeyChange, LogEntry, OrderInsert, Retirement, Rewrapped, ShareInsert,
        TreeNode,
    },
    share::{NewShare, ReadableObject},
    token::TokenInfo,
    user::{AuthorizedUser, UserId},
};

/// One write, on its own all or nothing.
#[derive(Debug)]
pub(super) enum Change {
    CommitShare(Box<NewShare>),
    ForgetShare {
        data_hash: DataHash,
        recipient: Address,
    },
    SetGrantOwed {
        data_hash: DataHash,
        recipient: Address,
        owed: bool,
    },
    SetReplicas {
        id: ObjectId,
        sequence: u64,
        replicas: u32,
    },
    SetReceiptSpread {
        data_hash: DataHash,
        recipient: Address,
    },
    PutReadable(ReadableObject),
    RemoveReadable(DataHash),
    Rewrap(Vec<Rewrapped>),
    RetireKey(u32),
    KeyChangeBegun(Box<BegunKeyChange>),
    KeyChangeEnded([u8; 16]),
    BeginErasure(DataHash),
    EndErasure(DataHash),
    ScheduleErasure {
        data_hash: DataHash,
        at: Option<u64>,
    },
    BeginRevocation {
        data_hash: DataHash,
        recipient: Address,
    },
    EndRevocation {
        data_hash: DataHash,
        recipient: Address,
    },
    PrepareKey(ReadableObject),
    AdoptPreparedKey {
        data_hash: DataHash,
        chunk_list: [u8; 32],
    },
    Append {
        entries: Vec<LogEntry>,
        nodes: Vec<TreeNode>,
    },
    PutCheckpoint(AnchoredCheckpoint),
    RemoveCheckpoint(u64),
    InsertApiKey(ApiKeyRecord),
    RevokeApiKey {
        id: String,
        now: u64,
    },
    PutApiKeyUsage(Vec<(Arc<str>, KeyUsage)>),
    PutPeers(Vec<PeerRecord>),
    RemovePeers(Vec<String>),
    InsertOrder(Box<OrderRecord>),
    SetOrderState {
        id: OperationId,
        state: OrderState,
    },
    SetOrderTries {
        id: OperationId,
        state: OrderState,
        tries: Tries,
    },
    CloseOrder(OperationId),
    AddToken(TokenRecord),
    UpdateToken(TokenInfo),
    InsertUser(AuthorizedUser),
    RemoveUser(UserId),
    ForgetMandates(u64),
}

impl Change {
    /// Whether this begins something new, which is refused where the disk is
    /// nearly full. What goes on with, ends or erases something may use the rest.
    pub(super) fn needs_space(&self) -> bool {
        matches!(
            self,
            Self::CommitShare(_)
                | Self::PutReadable(_)
                | Self::InsertOrder(_)
                | Self::InsertApiKey(_)
                | Self::AddToken(_)
                | Self::InsertUser(_)
                | Self::PutPeers(_)
        )
    }

    /// Whether this ends the erasure of data, of whose key no file may speak then.
    pub(super) fn ends_erasure(&self) -> bool {
        matches!(self, Self::EndErasure(_))
    }
}

/// What came of a change that the database could make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is made.
    Done,
    /// What became of a share.
    Share(ShareInsert),
    /// What became of an order.
    Order(OrderInsert),
    /// What became of a version of the node's key.
    Retirement(Retirement),
    /// Whether there was what was to be changed.
    Existed(bool),
    /// It contradicts what is kept; nothing was changed.
    Refused(String),
}
