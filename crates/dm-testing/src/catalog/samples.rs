//! Shares, objects, events and keys to try a catalog with; those of equal
//! numbers are equal. Orders and tokens are in [`super::order_samples`].

use std::sync::Arc;

use bytes::Bytes;
use dm_core::{
    Address, B256,
    api_key::{ApiKeyRecord, KeyUsage, Rights, RouteName, Scope},
    contact::{Contact, SeenRecord, Trust},
    envelope::ObjectId,
    event::{Event, EventKind, NewEvent},
    hash::DataHash,
    idempotency::IdempotencyKey,
    inbox::{InboxItem, ItemState},
    mandate::{KeptMandate, Mandate},
    peer::PeerRecord,
    ports::{AnchoredCheckpoint, LogEntry, ShareCatalog, TreeNode},
    receipt::{Anchor, Checkpoint},
    share::{NewShare, ReadableObject, ShareRecord, WrappedKey},
    upload::{Received, UploadId, UploadRecord, UploadStage},
    user::{AuthorizedUser, KeyKind},
};

/// The address number `n`.
pub fn address(n: u8) -> Address {
    Address::repeat_byte(n)
}

/// The data hash number `n`.
pub fn data_hash(n: u64) -> DataHash {
    DataHash::of(&n.to_be_bytes())
}

/// A share of data number `n` with recipient number `recipient`.
pub fn share(n: u64, recipient: u8) -> ShareRecord {
    ShareRecord {
        request: Some(B256::with_last_byte(recipient)),
        expires_at: Some(1_800_000_000_000 + n),
        ..ShareRecord::new(data_hash(n), address(recipient), 1_700_000_000_000 + n)
    }
}

/// A share of data number `n` with recipient number `recipient`, whose object was
/// stored for it and belongs to account number 1, with everything else it can have.
pub fn whole_share(n: u64, recipient: u8) -> NewShare {
    let statement = 1000 * n + u64::from(recipient);
    let mandate = Some(Box::new(mandate(statement, u64::MAX / 4)));
    let record = ShareRecord {
        mandate,
        ..keyed(share(n, recipient), "client", &format!("key {n} {recipient}"))
    };
    NewShare {
        record,
        object: Some(readable(n, address(1))),
        grant_owed: true,
        listing: None,
        upload: None,
        trace: None,
    }
}

/// The first shares without an event.
pub async fn unrecorded(catalog: &impl ShareCatalog, limit: usize) -> Vec<ShareRecord> {
    let page = catalog.unrecorded_shares(0, limit).await.unwrap();
    page.into_iter().map(|(_, share)| share).collect()
}

/// Shares whose grants are owed, at most `limit` of each recipient.
pub async fn owed(catalog: &impl ShareCatalog, limit: usize) -> Vec<ShareRecord> {
    let mut owed = Vec::new();
    for recipient in catalog.owed_recipients(None, usize::MAX >> 1).await.unwrap() {
        let page = catalog.owed_grants(recipient, 0, limit).await.unwrap();
        owed.extend(page.into_iter().map(|(_, share)| share));
    }
    owed
}

/// The first shares below a position of the log whose receipts are due.
pub async fn due(catalog: &impl ShareCatalog, anchored_size: u64, limit: usize) -> Vec<ShareRecord> {
    let page = catalog.receipts_to_spread(0..anchored_size, limit).await.unwrap();
    page.into_iter().map(|(_, share)| share).collect()
}

/// A mandate on statement number `n`, which ends at `expires_at`.
pub fn mandate(n: u64, expires_at: u64) -> KeptMandate {
    KeptMandate {
        mandate: Mandate {
            key: "sha256:00ff".to_owned(),
            key_kind: KeyKind::Ed25519,
            signature: "c2lnbmF0dXJl".to_owned(),
            statement: format!("{{\"ä\":{n}}}"),
            user_id: user("alice", 1).id,
        },
        expires_at,
    }
}

/// A contact of this name at address number `n`.
pub fn contact(name: &str, n: u8) -> Contact {
    Contact {
        name: name.parse().unwrap(),
        address: Address::repeat_byte(n),
        trust: Trust::Accept,
        note: None,
        added_at: u64::from(n),
        confirmed: None,
        changed: None,
    }
}

/// What address record number `n` says.
pub fn seen_record(n: u8) -> SeenRecord {
    SeenRecord {
        hpke_public_key: [n; 32],
        peers: vec![format!("peer-{n}"), format!("other-peer-{n}")],
    }
}

/// An authorised user of this id.
pub fn user(id: &str, added_at: u64) -> AuthorizedUser {
    AuthorizedUser {
        id: id.parse().unwrap(),
        kind: KeyKind::Rsa,
        public_key: format!("-----BEGIN PUBLIC KEY-----\n{id}\n-----END PUBLIC KEY-----\n"),
        fingerprint: format!("sha256:{id}"),
        added_at,
    }
}

/// The same share, asked for under an idempotency key of a client.
pub fn keyed(mut share: ShareRecord, client: &str, key: &str) -> ShareRecord {
    share.idempotency_key = Some(IdempotencyKey {
        client: client.to_owned(),
        key: key.to_owned(),
    });
    share
}

/// The object of data number `n` that belongs to `owner`.
pub fn object_id(n: u64, owner: Address) -> ObjectId {
    ObjectId {
        locator: data_hash(n).locator(),
        owner,
    }
}

/// The entry of data number `n`, whose object belongs to `owner`.
pub fn readable(n: u64, owner: Address) -> ReadableObject {
    ReadableObject {
        data_hash: data_hash(n),
        id: object_id(n, owner),
        size: n + 1,
        chunk_list: [7; 32],
        key: WrappedKey {
            version: 3,
            token: format!("gAAAAA-token-of-{n}-{owner}"),
        },
    }
}

/// An event of a kind about data number `n`, with recipient number `recipient`.
pub fn event(kind: EventKind, n: u64, recipient: u8) -> Event {
    let new = NewEvent {
        kind,
        ..NewEvent::data_share(data_hash(n), address(recipient))
    };
    let mut event = new.into_event(address(0xEE), 1_700_000_000_000 + n);
    event.nonce = n.to_be_bytes().repeat(2).try_into().unwrap();
    event
}

/// Log entries from position `first` on.
pub fn entries(first: u64, events: impl IntoIterator<Item = Event>) -> Vec<LogEntry> {
    (first..)
        .zip(events)
        .map(|(index, event)| LogEntry {
            index,
            event,
            trace: None,
        })
        .collect()
}

/// The tree node at a position.
pub fn node(position: u64) -> TreeNode {
    TreeNode {
        position,
        hash: B256::from(*data_hash(position).as_bytes()),
    }
}

/// A checkpoint over `size` events, anchored in block 100 + `size`.
pub fn checkpoint(size: u64, is_final: bool) -> AnchoredCheckpoint {
    AnchoredCheckpoint {
        checkpoint: Checkpoint {
            size,
            root: B256::with_last_byte(1),
        },
        anchor: Anchor {
            chain_id: 31337,
            contract: address(0xCC),
            tx_hash: B256::from(*data_hash(size).as_bytes()),
            block: 100 + size,
            timestamp: 1_700_000_000 + size,
        },
        is_final,
    }
}

/// An API key of this id.
pub fn api_key(id: &str, created_at: u64) -> ApiKeyRecord {
    ApiKeyRecord {
        id: id.to_owned(),
        name: format!("key {id}"),
        secret_hash: *DataHash::of(id.as_bytes()).as_bytes(),
        rights: Arc::new(Rights {
            scopes: [Scope::Share, Scope::Read].into(),
            routes: [
                RouteName::of("GET", "/data/{data_hash}"),
                RouteName::of("PUT", "/objects"),
            ]
            .into(),
            recipients: [address(1), address(2)].into(),
            bytes_budget: Some(1 << 40),
        }),
        created_at,
        expires_at: Some(created_at + 1),
        revoked_at: None,
        usage: KeyUsage::default(),
    }
}

/// A line of the peer book.
pub fn peer(peer_id: &str, last_seen: u64) -> PeerRecord {
    PeerRecord {
        peer_id: peer_id.to_owned(),
        addresses: vec![
            "/ip4/127.0.0.1/tcp/4001".to_owned(),
            "/dns4/näher.example/udp/1/quic-v1".to_owned(),
        ],
        first_seen: 1,
        last_seen,
        latency_ms: Some(12),
        successes: 3,
        failures: 1,
    }
}

/// An open upload of which nothing has come.
pub fn upload(n: u8) -> UploadRecord {
    UploadRecord {
        id: UploadId([n; 16]),
        key_id: "key".to_owned(),
        length: 1000,
        created_at: 1_700_000_000_000,
        expires_at: 1_700_000_100_000,
        terms: Bytes::from_static(b"sealed terms"),
        stage: UploadStage::Open {
            key: WrappedKey {
                version: 3,
                token: format!("token {n}"),
            },
            received: Received::default(),
            refused: false,
        },
    }
}

/// A new item of the inbox.
pub fn inbox_item(data_hash: DataHash, owner: Address) -> InboxItem {
    InboxItem {
        data_hash,
        owner,
        size: 100,
        descriptor: Bytes::from_static(&[1; 40]),
        sequence: 1000,
        shared_at: 5,
        received_at: 10_000,
        expires_at: None,
        state: ItemState::New,
        fetched_at: None,
        anchored: false,
    }
}
