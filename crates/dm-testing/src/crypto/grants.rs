#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::{Arc, Mutex};

use alloy_primitives::Address;
use dm_core::{
    address_record::AddressRecord,
    clock::now_ms,
    envelope::{Envelope, Grant, ObjectId},
    hash::DataHash,
    ports::{GrantError, GrantKeyInfo, Grants, KeyRingError},
    secret::ContentKey,
};
use sha2::{Digest, Sha256};

/// Grants for one address. There is no secrecy in them: what keeps strangers
/// out is that they do not open what is not for them.
#[derive(Debug, Clone)]
pub struct MemoryGrants {
    address: Address,
    /// Oldest first.
    keys: Arc<Mutex<Vec<GrantKeyInfo>>>,
}

impl MemoryGrants {
    /// A fresh key for this address.
    pub fn new(address: Address) -> Self {
        Self {
            address,
            keys: Arc::new(Mutex::new(vec![fresh_key()])),
        }
    }
}

fn fresh_key() -> GrantKeyInfo {
    GrantKeyInfo {
        public_key: rand::random(),
        created_at: now_ms(),
    }
}

/// The mask over a content key, from all that a grant is bound to.
fn mask(public_key: &[u8; 32], encapsulated: &[u8; 32], object: &ObjectId, recipient: Address) -> ContentKey {
    let digest = Sha256::new()
        .chain_update(public_key)
        .chain_update(encapsulated)
        .chain_update(object.locator.as_bytes())
        .chain_update(object.owner)
        .chain_update(recipient)
        .finalize();
    ContentKey::from_bytes(digest.into())
}

fn key_id(public_key: &[u8; 32]) -> [u8; 8] {
    Sha256::digest(public_key)[..8].try_into().unwrap()
}

/// 48 bytes: the masked key and half a tag.
fn seal(mask: &ContentKey, key: &ContentKey) -> Vec<u8> {
    let mut sealed: Vec<u8> = mask
        .as_bytes()
        .iter()
        .zip(key.as_bytes())
        .map(|(a, b)| a ^ b)
        .collect();
    let tag = Sha256::new()
        .chain_update(mask.as_bytes())
        .chain_update(&sealed)
        .finalize();
    sealed.extend_from_slice(&tag[..16]);
    sealed
}

fn open(mask: &ContentKey, ciphertext: &[u8]) -> Option<ContentKey> {
    let masked: [u8; 32] = ciphertext.get(..32)?.try_into().ok()?;
    let key = std::array::from_fn(|index| masked[index] ^ mask.as_bytes()[index]);
    let key = ContentKey::from_bytes(key);
    (seal(mask, &key) == ciphertext).then_some(key)
}

impl Grants for MemoryGrants {
    fn public_key(&self) -> [u8; 32] {
        self.keys.lock().unwrap().last().unwrap().public_key
    }

    fn grant(
        &self,
        key: &ContentKey,
        object: &ObjectId,
        recipient: &AddressRecord,
    ) -> Result<Grant, GrantError> {
        if recipient.hpke_public_key == [0; 32] {
            return Err(GrantError::BadPublicKey);
        }
        let encapsulated_key = rand::random();
        let mask = mask(
            &recipient.hpke_public_key,
            &encapsulated_key,
            object,
            recipient.address,
        );
        Ok(Grant {
            recipient: recipient.address,
            key_id: key_id(&recipient.hpke_public_key),
            encapsulated_key,
            ciphertext: seal(&mask, key),
        })
    }

    fn open_grant(&self, envelope: &Envelope) -> Result<Option<ContentKey>, GrantError> {
        if !envelope.grants_to(self.address) {
            return Ok(None);
        }
        let own = envelope
            .grants
            .iter()
            .filter(|grant| grant.recipient == self.address);
        let keys = self.keys();
        own.filter_map(|grant| {
            let key = keys.iter().find(|key| key_id(&key.public_key) == grant.key_id)?;
            Some((grant, key.public_key))
        })
        .find_map(|(grant, public_key)| {
            let mask = mask(&public_key, &grant.encapsulated_key, &envelope.id, self.address);
            open(&mask, &grant.ciphertext)
        })
        .map_or(Err(GrantError::Unopenable), |key| Ok(Some(key)))
    }

    fn rotate(&self) -> Result<[u8; 32], KeyRingError> {
        let key = fresh_key();
        self.keys.lock().unwrap().push(key);
        Ok(key.public_key)
    }

    fn keys(&self) -> Vec<GrantKeyInfo> {
        self.keys.lock().unwrap().clone()
    }
}

/// Every promise of [`Grants`]; `make` makes one with fresh keys for an address.
pub fn run_grants_suite<G: Grants>(make: impl Fn(Address) -> G) {
    let owner = make(OWNER);
    let recipient = make(RECIPIENT);
    the_recipient_opens_its_grant_among_others(&owner, &recipient);
    an_envelope_without_a_grant_for_this_node_has_no_key(&owner, &recipient);
    a_stranger_cannot_open_a_grant(&owner, &recipient, &make(RECIPIENT), &make(STRANGER));
    a_grant_moved_to_another_object_does_not_open(&owner, &recipient);
    a_grant_relabelled_for_another_recipient_does_not_open(&owner, &recipient, &make(STRANGER));
    a_changed_grant_does_not_open(&owner, &recipient);
    an_invalid_public_key_gets_no_grant(&owner);
    grants_for_an_older_key_still_open(&owner, &recipient);
}

const OWNER: Address = Address::repeat_byte(1);
const RECIPIENT: Address = Address::repeat_byte(2);
const STRANGER: Address = Address::repeat_byte(3);

fn object() -> ObjectId {
    ObjectId {
        locator: DataHash::of(b"data").locator(),
        owner: OWNER,
    }
}

fn record(grants: &dyn Grants, address: Address) -> AddressRecord {
    AddressRecord::new(address, grants.public_key(), "peer".to_owned(), 1)
}

fn envelope(id: ObjectId, grants: Vec<Grant>) -> Envelope {
    Envelope {
        id,
        size: 4,
        chunk_list: [0; 32],
        sequence: 1,
        created_at: 0,
        grants,
        attachments: Vec::new(),
        expires_at: None,
    }
}

fn grant_for_recipient(key: &ContentKey, owner: &dyn Grants, recipient: &dyn Grants) -> Grant {
    owner
        .grant(key, &object(), &record(recipient, RECIPIENT))
        .unwrap()
}

/// Whoever was granted access finds its own grant and the content key in it;
/// grants have the size that envelopes demand.
pub fn the_recipient_opens_its_grant_among_others(owner: &dyn Grants, recipient: &dyn Grants) {
    let key = ContentKey::random();
    let for_owner = owner.grant(&key, &object(), &record(owner, OWNER)).unwrap();
    let for_recipient = grant_for_recipient(&key, owner, recipient);
    assert_eq!(for_recipient.ciphertext.len(), 48);
    let envelope = envelope(object(), vec![for_owner, for_recipient]);
    assert_eq!(owner.open_grant(&envelope), Ok(Some(key.clone())));
    assert_eq!(recipient.open_grant(&envelope), Ok(Some(key)));
}

/// No grant is no error.
pub fn an_envelope_without_a_grant_for_this_node_has_no_key(owner: &dyn Grants, recipient: &dyn Grants) {
    let for_owner = owner
        .grant(&ContentKey::random(), &object(), &record(owner, OWNER))
        .unwrap();
    assert_eq!(
        recipient.open_grant(&envelope(object(), vec![for_owner])),
        Ok(None)
    );
    assert_eq!(recipient.open_grant(&envelope(object(), Vec::new())), Ok(None));
}

/// Neither another address nor another key of the same address opens a grant.
pub fn a_stranger_cannot_open_a_grant(
    owner: &dyn Grants,
    recipient: &dyn Grants,
    same_address: &dyn Grants,
    stranger: &dyn Grants,
) {
    let grant = grant_for_recipient(&ContentKey::random(), owner, recipient);
    let envelope = envelope(object(), vec![grant]);
    assert_eq!(stranger.open_grant(&envelope), Ok(None));
    assert_eq!(same_address.open_grant(&envelope), Err(GrantError::Unopenable));
}

/// A grant is for one object of one owner.
pub fn a_grant_moved_to_another_object_does_not_open(owner: &dyn Grants, recipient: &dyn Grants) {
    let grant = grant_for_recipient(&ContentKey::random(), owner, recipient);
    let other_data = ObjectId {
        locator: DataHash::of(b"other").locator(),
        ..object()
    };
    let other_owner = ObjectId {
        owner: STRANGER,
        ..object()
    };
    for id in [other_data, other_owner] {
        let moved = envelope(id, vec![grant.clone()]);
        assert_eq!(recipient.open_grant(&moved), Err(GrantError::Unopenable));
    }
}

/// A grant is for one address: not even under the right key does it open for
/// another one, as where a stranger announces a foreign public key as his own.
pub fn a_grant_relabelled_for_another_recipient_does_not_open(
    owner: &dyn Grants,
    recipient: &dyn Grants,
    stranger: &dyn Grants,
) {
    let mut stolen = grant_for_recipient(&ContentKey::random(), owner, recipient);
    stolen.recipient = STRANGER;
    assert_eq!(
        stranger.open_grant(&envelope(object(), vec![stolen])),
        Err(GrantError::Unopenable)
    );
    let posing = record(recipient, STRANGER);
    let mut misdirected = owner.grant(&ContentKey::random(), &object(), &posing).unwrap();
    misdirected.recipient = RECIPIENT;
    assert_eq!(
        recipient.open_grant(&envelope(object(), vec![misdirected])),
        Err(GrantError::Unopenable)
    );
}

/// No byte of a grant can be changed or left out.
pub fn a_changed_grant_does_not_open(owner: &dyn Grants, recipient: &dyn Grants) {
    let grant = grant_for_recipient(&ContentKey::random(), owner, recipient);
    let refuses = |changed: Grant| {
        assert_eq!(
            recipient.open_grant(&envelope(object(), vec![changed])),
            Err(GrantError::Unopenable)
        );
    };
    for position in 0..8 {
        let mut changed = grant.clone();
        changed.key_id[position] ^= 1;
        refuses(changed);
    }
    for position in 0..32 {
        let mut changed = grant.clone();
        changed.encapsulated_key[position] ^= 1;
        refuses(changed);
    }
    for position in 0..grant.ciphertext.len() {
        let mut changed = grant.clone();
        changed.ciphertext[position] ^= 1;
        refuses(changed);
        let mut truncated = grant.clone();
        truncated.ciphertext.truncate(position);
        refuses(truncated);
    }
}

/// The all-zero key leads to a secret that everybody knows.
pub fn an_invalid_public_key_gets_no_grant(owner: &dyn Grants) {
    let mut record = record(owner, RECIPIENT);
    record.hpke_public_key = [0; 32];
    let grant = owner.grant(&ContentKey::random(), &object(), &record);
    assert_eq!(grant, Err(GrantError::BadPublicKey));
}

/// After a rotation others make grants for the new key, and those for the old
/// one still open.
pub fn grants_for_an_older_key_still_open(owner: &dyn Grants, recipient: &dyn Grants) {
    let key = ContentKey::random();
    let older = recipient.public_key();
    let before = grant_for_recipient(&key, owner, recipient);
    let newer = recipient.rotate().unwrap();
    assert_ne!(newer, older);
    assert_eq!(recipient.public_key(), newer);
    let held: Vec<_> = recipient.keys().iter().map(|key| key.public_key).collect();
    assert!(held.ends_with(&[older, newer]));
    let after = grant_for_recipient(&key, owner, recipient);
    assert_ne!(before.key_id, after.key_id);
    for grant in [before, after] {
        let envelope = envelope(object(), vec![grant]);
        assert_eq!(recipient.open_grant(&envelope), Ok(Some(key.clone())));
    }
}
