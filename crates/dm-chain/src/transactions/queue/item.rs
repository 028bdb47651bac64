//! One transaction that somebody wants.

use alloy::primitives::{Address, B256, Bytes, U256};
use dm_core::{
    operation::OperationId,
    ports::{ChainError, MinedOperation, OperationState},
};
use tokio::time::Instant;

use super::event::Ticket;
use crate::{
    transactions::journal::{JournalEntry, Mined, Refused},
    tx::{Draft, Version},
};

/// What keeps a transaction out of the blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// The account cannot pay for it.
    LackOfFunds(String),
    /// Gas costs more than the ceiling.
    AboveCeiling,
    /// Another program's transaction has the nonce.
    NonceHeld,
    /// The chain refuses it.
    Refused(String),
    /// The chain has it, asks for more, and refuses the version that pays more.
    DearerRefused(String),
    /// The chain does not answer.
    Unreachable(String),
    /// Something that passes.
    Waits(&'static str),
}

/// A transaction, from the order until nobody needs it any more.
#[derive(Debug)]
pub(super) struct Item {
    /// Its operation; those without may happen twice.
    pub(super) id: Option<OperationId>,
    /// Under what the journal keeps it, once it has a version.
    pub(super) note: Option<OperationId>,
    /// It is no operation, and nobody waits for it: it only has to make room
    /// for those behind it.
    pub(super) is_orphan: bool,
    pub(super) draft: Draft,
    /// Who waits for it to be begun.
    pub(super) tickets: Vec<Ticket>,
    /// Meaningful once it has versions, or is staged.
    pub(super) nonce: u64,
    /// The chain said that the nonces below are in use.
    pub(super) least_nonce: u64,
    /// How often it got another nonce.
    pub(super) moves: u32,
    /// All bear one nonce; the newest is the last.
    pub(super) versions: Vec<Version>,
    /// Hashes that it had with an earlier nonce.
    pub(super) past: Vec<B256>,
    /// Why it is given up.
    pub(super) refused: Option<Refused>,
    /// It ended on a chain that is gone.
    pub(super) is_of_lost_chain: bool,
    /// The chain was reorganised, and its receipt was not seen since.
    pub(super) is_doubted: bool,
    /// What a block had of it before it was taken back, or the process started,
    /// until the chain is known to be the same. The chain gets nothing of it before that.
    pub(super) taken_back: Option<Mined>,
    /// When it was ordered, as far as this process knows.
    pub(super) since: Instant,
    /// What kept it out of the blocks when the chain got it last.
    pub(super) obstacle: Option<Obstacle>,
    pub(super) phase: Phase,
}

/// How far it is.
#[derive(Debug)]
pub(super) enum Phase {
    /// It needs a nonce.
    Queued,
    /// It has one, and is being signed and noted.
    Staged,
    /// The chain gets it until a block has it.
    Sending(Sending),
    /// A block has it.
    Mined(Mined),
    /// And it will stay there.
    Final(Mined),
    /// It is given up, and nothing of it can be mined any more.
    Refused,
}

/// What is known of a transaction on its way into a block.
#[derive(Debug)]
pub(super) struct Sending {
    /// The version that the chain gets.
    pub(super) current: usize,
    /// When it gets it next.
    pub(super) next: Option<Instant>,
    /// It gets it at this moment.
    pub(super) in_flight: bool,
    /// How often it got it in vain.
    pub(super) tries: u32,
    /// When it took it last.
    pub(super) taken: Option<Instant>,
    /// How often it was given to the chain again that had taken it.
    pub(super) resends: u32,
    /// When the newest version was made.
    pub(super) priced: Instant,
    /// The chain said that it pays too little.
    pub(super) too_cheap: bool,
    /// The chain has another transaction with the nonce, an earlier version or
    /// one of another program, and wants more for taking this one instead.
    pub(super) is_outbid: bool,
    /// A version that pays more is being made.
    pub(super) is_replaced: bool,
    /// How often in a row the nonce was counted and no version had a receipt.
    pub(super) absent: u32,
    /// How often in a row the chain refused it.
    pub(super) refusals: u32,
    /// The chain refuses it for good: it gets nothing before the empty
    /// transaction is signed and noted.
    pub(super) is_barred: bool,
    /// Why the chain refuses the versions that pay more than the current one.
    pub(super) dearer_refused: Option<ChainError>,
}

/// The version that pays most of those that pay less than this one.
fn cheaper_version(versions: &[Version], than: usize) -> Option<usize> {
    let limit = versions.get(than)?.fees.highest();
    let cheaper = (0..versions.len()).filter(|index| versions[*index].fees.highest() < limit);
    cheaper.max_by_key(|index| versions[*index].fees.highest())
}

/// The version that pays least of those that pay more than this one.
pub(super) fn dearer_version(versions: &[Version], than: usize) -> Option<usize> {
    let limit = versions.get(than)?.fees.highest();
    let dearer = (0..versions.len()).filter(|index| versions[*index].fees.highest() > limit);
    dearer.min_by_key(|index| versions[*index].fees.highest())
}

impl Sending {
    /// A version was made that the chain has to get now.
    pub(super) fn new(current: usize, now: Instant) -> Self {
        Self {
            current,
            next: Some(now),
            in_flight: false,
            tries: 0,
            taken: None,
            resends: 0,
            priced: now,
            too_cheap: false,
            is_outbid: false,
            is_replaced: false,
            absent: 0,
            refusals: 0,
            is_barred: false,
            dearer_refused: None,
        }
    }

    /// The chain has to get this version from now on, as if it never got it.
    pub(super) fn offer(&mut self, version: usize, now: Instant) {
        self.current = version;
        (self.tries, self.refusals, self.resends) = (0, 0, 0);
        (self.taken, self.priced) = (None, now);
        (self.too_cheap, self.is_outbid) = (false, false);
        self.dearer_refused = None;
    }

    /// The chain has to get one of these versions again; nothing of what is given up.
    pub(super) fn again(
        current: usize,
        versions: &[Version],
        refused: Option<&Refused>,
        now: Instant,
    ) -> Self {
        let newest = versions.len().saturating_sub(1);
        match refused {
            Some(refused) => Self {
                is_barred: refused.first_empty > newest,
                ..Self::new(newest, now)
            },
            None => Self::new(current, now),
        }
    }
}

impl Item {
    pub(super) fn new(id: Option<OperationId>, draft: Draft, ticket: Ticket, now: Instant) -> Self {
        Self {
            id,
            note: id,
            is_orphan: false,
            draft,
            tickets: vec![ticket],
            nonce: 0,
            least_nonce: 0,
            moves: 0,
            versions: Vec::new(),
            past: Vec::new(),
            refused: None,
            is_of_lost_chain: false,
            is_doubted: false,
            taken_back: None,
            since: now,
            obstacle: None,
            phase: Phase::Queued,
        }
    }

    /// What the journal kept, to be given to the chain again.
    pub(super) fn restored(note: OperationId, entry: JournalEntry, now: Instant) -> Self {
        let newest = entry.versions.len().saturating_sub(1);
        let mut sending = Sending::again(newest, &entry.versions, entry.refused.as_ref(), now);
        // The chain may have it already, so that it refuses it.
        sending.tries = 1;
        let phase = match entry.done {
            Some(mined) => Phase::Final(mined),
            None if entry.is_over() => Phase::Refused,
            None => Phase::Sending(sending),
        };
        Self {
            id: entry.is_operation.then_some(note),
            note: Some(note),
            is_orphan: !entry.is_operation,
            draft: entry.draft,
            tickets: Vec::new(),
            nonce: entry.nonce,
            least_nonce: 0,
            moves: 0,
            versions: entry.versions,
            past: Vec::new(),
            refused: entry.refused,
            is_of_lost_chain: entry.is_of_lost_chain,
            is_doubted: false,
            taken_back: entry.seen,
            since: now,
            obstacle: None,
            phase,
        }
    }

    /// What the journal shall keep.
    pub(super) fn entry(&self) -> JournalEntry {
        let mut entry = JournalEntry {
            is_operation: self.id.is_some(),
            nonce: self.nonce,
            draft: self.draft.clone(),
            versions: self.versions.clone(),
            done: None,
            seen: match self.phase {
                Phase::Mined(mined) => Some(mined),
                _ => self.taken_back,
            },
            refused: self.refused.clone(),
            is_of_lost_chain: self.is_of_lost_chain,
        };
        if self.is_over() {
            entry.versions.clear();
            entry.draft.call.input = Bytes::new();
        }
        if let Phase::Final(mined) = self.phase {
            entry.done = Some(mined);
        }
        entry
    }

    /// Whether nothing can change it any more.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Final(_) | Phase::Refused)
    }

    /// Whether it waits for a block.
    pub(super) fn waits(&self) -> bool {
        matches!(self.phase, Phase::Queued | Phase::Staged | Phase::Sending(_))
    }

    /// The hash by which it is known now, once it is begun.
    pub(super) fn hash(&self) -> Option<B256> {
        match (&self.phase, &self.refused) {
            (Phase::Mined(mined) | Phase::Final(mined), _) if !self.is_empty_version(mined.hash) => {
                Some(mined.hash)
            }
            (_, Some(refused)) => Some(refused.tx_hash),
            (Phase::Sending(sending), _) => self.versions.get(sending.current).map(|current| current.hash),
            _ => self.versions.last().map(|version| version.hash),
        }
    }

    /// Every hash that it has or had.
    pub(super) fn hashes(&self) -> impl Iterator<Item = B256> {
        let present = self.versions.iter().map(|version| version.hash);
        let refused = self.refused.iter().map(|refused| refused.tx_hash);
        present.chain(self.past.iter().copied()).chain(refused)
    }

    /// Whether this version is an empty transaction in the place of what is given up.
    pub(super) fn is_empty_version(&self, hash: B256) -> bool {
        let position = self.versions.iter().position(|version| version.hash == hash);
        let refused = self.refused.as_ref();
        refused
            .zip(position)
            .is_some_and(|(refused, position)| position >= refused.first_empty)
    }

    /// The version that pays most of those that pay less than what the chain gets now.
    pub(super) fn cheaper_version(&self) -> Option<usize> {
        match &self.phase {
            Phase::Sending(sending) => cheaper_version(&self.versions, sending.current),
            _ => None,
        }
    }

    /// What its next version does.
    pub(super) fn next_draft(&self, account: Address) -> Draft {
        match self.refused {
            Some(_) => Draft::in_place_of(&self.draft, account),
            None => self.draft.clone(),
        }
    }

    /// What it may cost at most, in wei.
    pub(super) fn cost(&self, account: Address) -> U256 {
        let dearest = self.versions.iter().map(|version| version.fees.highest()).max();
        self.next_draft(account).cost(dearest.unwrap_or_default())
    }

    /// Its state for those who ask; `None` while it is not begun.
    pub(super) fn state(&self, account: Address) -> Option<OperationState> {
        let (mined, is_final) = match &self.phase {
            Phase::Refused => return self.refusal(true),
            Phase::Mined(mined) if self.is_empty_version(mined.hash) => return self.refusal(false),
            Phase::Mined(mined) => (mined, false),
            Phase::Final(mined) => (mined, true),
            _ => return self.hash().map(|tx_hash| OperationState::Pending { tx_hash }),
        };
        let makes_contract = self.draft.call.to.is_none() && mined.succeeded;
        Some(OperationState::Mined(MinedOperation {
            tx_hash: mined.hash,
            block: mined.block,
            succeeded: mined.succeeded,
            received: mined.received,
            contract: makes_contract.then(|| account.create(self.nonce)),
            is_final,
        }))
    }

    fn refusal(&self, is_final: bool) -> Option<OperationState> {
        let refused = self.refused.as_ref()?;
        Some(OperationState::Refused {
            tx_hash: refused.tx_hash,
            reason: refused.reason.clone(),
            is_final,
        })
    }
}
