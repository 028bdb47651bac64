//! What the index keeps of one object.

use dm_core::{envelope::ObjectId, ports::NotTaken};
use serde::{Deserialize, Serialize};

use super::{Peer, PeerKey};

/// First byte of an encoded record.
const VERSION: u8 = 1;

/// A stored object and its copies. Times are in milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Whether this node is its owner.
    pub(super) own: bool,
    /// Bytes that a copy takes.
    pub(super) bytes: u64,
    /// When nobody shall hold it any more.
    pub(super) ends: Option<u64>,
    pub(super) holders: Vec<Holder>,
    /// Who had no copy where one was thought to be, and until when it gets none.
    pub(super) refuted: Vec<(Peer, u64)>,
    /// Since when copies are missing.
    pub(super) short_since: Option<u64>,
    /// When further holders were last looked for.
    pub(super) searched: Option<u64>,
    /// Before then no copy is offered.
    pub(super) retry_at: u64,
    /// How often in a row nobody took a copy.
    pub(super) failures: u32,
    /// Why nobody took the last one that was offered.
    pub(super) not_taken: Option<NotTaken>,
    /// When the number of copies is to be looked at again.
    pub(super) review_at: Option<u64>,
    /// Its place among the objects that need copies.
    pub(super) waits: Option<Waits>,
}

/// A peer that holds an object: it has proven it, or has taken the bytes a moment ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Which peer.
    pub peer: PeerKey,
    /// Since when it is thought to hold it, in milliseconds since the Unix epoch.
    pub since: u64,
    /// When it last proved it, in milliseconds since the Unix epoch.
    pub proved: Option<u64>,
    /// It has not answered its last challenge.
    pub(super) silent: bool,
    /// When it is challenged next.
    pub(super) next_challenge: u64,
}

/// An object that waits for something to be done about its copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Waits {
    pub(super) what: Step,
    /// Copies that there are, this node's counted: the fewest go first.
    pub(super) copies: u8,
    /// Since when copies are missing: the longest go first.
    pub(super) since: u64,
}

/// What is done about missing copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum Step {
    /// Holders that are not known are looked for.
    Search,
    /// Copies are brought to further peers.
    Place,
}

impl Record {
    pub(super) fn new(own: bool, bytes: u64) -> Self {
        Self {
            own,
            bytes,
            ends: None,
            holders: Vec::new(),
            refuted: Vec::new(),
            short_since: None,
            searched: None,
            retry_at: 0,
            failures: 0,
            not_taken: None,
            review_at: None,
            waits: None,
        }
    }

    pub(super) fn holder(&mut self, peer: PeerKey) -> Option<&mut Holder> {
        self.holders.iter_mut().find(|holder| holder.peer == peer)
    }

    /// When a holder is to be challenged next.
    pub(super) fn next_challenge(&self) -> Option<u64> {
        self.holders.iter().map(|holder| holder.next_challenge).min()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        // Numbers, texts and vectors can always be encoded.
        postcard::to_extend(self, vec![VERSION]).unwrap_or_default()
    }

    /// `None` for bytes of another version and for damaged ones.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, record) = bytes.split_first()?;
        (*version == VERSION)
            .then(|| postcard::from_bytes(record).ok())
            .flatten()
    }

    /// The keys under which the index finds the object, beside its id.
    pub(super) fn keys(&self, id: &ObjectId) -> Vec<Vec<u8>> {
        let holders = self.holders.iter().map(|holder| keys::held(holder.peer, id));
        let challenge = self
            .next_challenge()
            .map(|at| keys::timed(keys::CHALLENGE, at, id));
        let review = self.review_at.map(|at| keys::timed(keys::REVIEW, at, id));
        let end = self.ends.map(|at| keys::timed(keys::END, at, id));
        let waits = self.waits.map(|waits| keys::waiting(waits, id));
        let short = self.short_since.map(|_| keys::short(id));
        let not_taken = self.not_taken.map(|reason| keys::not_taken(reason, id));
        holders
            .chain(challenge)
            .chain(review)
            .chain(end)
            .chain(waits)
            .chain(short)
            .chain(not_taken)
            .collect()
    }
}

/// Keys of the index. The first byte says what it is, the object's id ends it.
pub(super) mod keys {
    use dm_core::{Address, envelope::ObjectId, hash::Locator, ports::NotTaken};

    use super::{PeerKey, Step, Waits};

    /// Id → record.
    pub(in super::super) const RECORD: u8 = b'r';
    /// Time and id: a holder is to be challenged.
    pub(in super::super) const CHALLENGE: u8 = b'c';
    /// Time and id: the number of copies is to be looked at.
    pub(in super::super) const REVIEW: u8 = b'd';
    /// Time and id: the object's time ends.
    pub(in super::super) const END: u8 = b'e';
    /// Peer and id: what the peer holds.
    pub(in super::super) const HELD: u8 = b'h';
    /// Peer → what is known of it.
    pub(in super::super) const PEER: u8 = b'p';
    /// Copies, time and id: holders are to be looked for.
    pub(in super::super) const SEARCH: u8 = b'f';
    /// Copies, time and id: copies are to be made.
    pub(in super::super) const PLACE: u8 = b'q';
    /// Id: copies are missing.
    pub(in super::super) const SHORT: u8 = b's';
    /// Reason and id: nobody takes a copy.
    pub(in super::super) const NOT_TAKEN: u8 = b'u';
    /// Numbers of what is kept.
    pub(in super::super) const TOTALS: &[u8] = b"mtotals";
    /// There once every object that was stored before is in the index.
    pub(in super::super) const COMPLETE: &[u8] = b"mcomplete";

    /// Bytes of an id at the end of a key.
    const ID_LEN: usize = 52;

    fn with_id(head: &[u8], id: &ObjectId) -> Vec<u8> {
        [head, id.locator.as_bytes(), id.owner.as_slice()].concat()
    }

    pub(in super::super) fn record(id: &ObjectId) -> Vec<u8> {
        with_id(&[RECORD], id)
    }

    pub(in super::super) fn short(id: &ObjectId) -> Vec<u8> {
        with_id(&[SHORT], id)
    }

    pub(in super::super) fn timed(tag: u8, at: u64, id: &ObjectId) -> Vec<u8> {
        let mut head = vec![tag];
        head.extend(at.to_be_bytes());
        with_id(&head, id)
    }

    pub(in super::super) fn held(peer: PeerKey, id: &ObjectId) -> Vec<u8> {
        with_id(&held_head(peer), id)
    }

    pub(in super::super) fn held_head(peer: PeerKey) -> Vec<u8> {
        let mut head = vec![HELD];
        head.extend(peer.0.to_be_bytes());
        head
    }

    pub(in super::super) fn peer(peer: PeerKey) -> Vec<u8> {
        let mut key = vec![PEER];
        key.extend(peer.0.to_be_bytes());
        key
    }

    pub(super) fn waiting(waits: Waits, id: &ObjectId) -> Vec<u8> {
        let mut head = vec![step(waits.what), waits.copies];
        head.extend(waits.since.to_be_bytes());
        with_id(&head, id)
    }

    pub(in super::super) fn step(step: Step) -> u8 {
        match step {
            Step::Search => SEARCH,
            Step::Place => PLACE,
        }
    }

    pub(in super::super) fn not_taken(reason: NotTaken, id: &ObjectId) -> Vec<u8> {
        with_id(&not_taken_head(reason), id)
    }

    pub(in super::super) fn not_taken_head(reason: NotTaken) -> Vec<u8> {
        vec![NOT_TAKEN, reason as u8]
    }

    /// The id at the end of a key.
    pub(in super::super) fn id(key: &[u8]) -> Option<ObjectId> {
        let (_, id) = key.split_at_checked(key.len().checked_sub(ID_LEN)?)?;
        let (locator, owner) = id.split_first_chunk::<32>()?;
        Some(ObjectId {
            locator: Locator::from_bytes(*locator),
            owner: Address::from_slice(owner),
        })
    }

    /// The time in a key of [`timed`].
    pub(in super::super) fn time(key: &[u8]) -> Option<u64> {
        let (_, time) = key.split_first()?;
        Some(u64::from_be_bytes(*time.first_chunk()?))
    }
}
