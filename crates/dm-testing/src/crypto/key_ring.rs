#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{sync::Mutex, thread};

use dm_core::{
    clock::now_ms,
    ports::{KeyRing, KeyRingError, KeyVersion, Sealer},
    secret::ContentKey,
    share::WrappedKey,
};

use super::MemorySealer;

/// Keeps versions in memory.
#[derive(Debug)]
pub struct MemoryKeyRing {
    versions: Mutex<Vec<(KeyVersion, ContentKey)>>,
}

impl Default for MemoryKeyRing {
    fn default() -> Self {
        let ring = Self {
            versions: Mutex::default(),
        };
        ring.rotate().unwrap();
        ring
    }
}

impl KeyRing for MemoryKeyRing {
    fn wrap(&self, key: &ContentKey) -> WrappedKey {
        let versions = self.versions.lock().unwrap();
        let (newest, secret) = versions.last().unwrap();
        WrappedKey {
            version: newest.version,
            token: hex::encode(MemorySealer.seal(secret, key.as_bytes()).bytes()),
        }
    }

    fn unwrap(&self, key: &WrappedKey) -> Result<ContentKey, KeyRingError> {
        let versions = self.versions.lock().unwrap();
        let (_, secret) = versions
            .iter()
            .find(|(version, _)| version.version == key.version)
            .ok_or(KeyRingError::UnknownVersion(key.version))?;
        let token = hex::decode(&key.token).map_err(|_| KeyRingError::Damaged)?;
        let plaintext = MemorySealer
            .open(secret, &token)
            .map_err(|_| KeyRingError::Damaged)?;
        let bytes = plaintext.try_into().map_err(|_| KeyRingError::Damaged)?;
        Ok(ContentKey::from_bytes(bytes))
    }

    fn rotate(&self) -> Result<u32, KeyRingError> {
        let mut versions = self.versions.lock().unwrap();
        let version = versions.last().map_or(1, |(newest, _)| newest.version + 1);
        let info = KeyVersion {
            version,
            created_at: now_ms(),
            imported_from: None,
        };
        versions.push((info, ContentKey::random()));
        Ok(version)
    }

    fn destroy(&self, version: u32) -> Result<(), KeyRingError> {
        let mut versions = self.versions.lock().unwrap();
        let place = versions.iter().position(|(info, _)| info.version == version);
        let place = place.ok_or(KeyRingError::UnknownVersion(version))?;
        if place + 1 == versions.len() {
            return Err(KeyRingError::Newest(version));
        }
        versions.remove(place);
        Ok(())
    }

    fn versions(&self) -> Vec<KeyVersion> {
        self.versions
            .lock()
            .unwrap()
            .iter()
            .map(|(version, _)| *version)
            .collect()
    }
}

/// Every promise of a [`KeyRing`]; the ring gets some more versions.
pub fn run_key_ring_suite(ring: &dyn KeyRing) {
    what_was_wrapped_is_unwrapped(ring);
    a_changed_wrapped_key_is_damaged(ring);
    a_version_that_is_not_held_is_unknown(ring);
    rotation_keeps_old_versions(ring);
    versions_may_rotate_while_others_wrap(ring);
    a_destroyed_version_unwraps_nothing_and_leaves_the_others(ring);
}

/// A wrapped key comes back.
pub fn what_was_wrapped_is_unwrapped(ring: &dyn KeyRing) {
    let key = ContentKey::random();
    let wrapped = ring.wrap(&key);
    assert_eq!(ring.unwrap(&wrapped), Ok(key.clone()));
    assert_ne!(ring.wrap(&key), wrapped);
}

/// No character of a wrapped key can be changed, and its version neither.
pub fn a_changed_wrapped_key_is_damaged(ring: &dyn KeyRing) {
    let wrapped = ring.wrap(&ContentKey::random());
    for position in 0..wrapped.token.trim_end_matches('=').len() - 1 {
        let mut token = wrapped.token.clone();
        let replacement = if &token[position..=position] == "0" {
            "1"
        } else {
            "0"
        };
        token.replace_range(position..=position, replacement);
        let changed = WrappedKey { token, ..wrapped };
        assert_eq!(
            ring.unwrap(&changed),
            Err(KeyRingError::Damaged),
            "character {position}"
        );
    }
    let empty = WrappedKey {
        token: String::new(),
        ..wrapped
    };
    assert_eq!(ring.unwrap(&empty), Err(KeyRingError::Damaged));
    ring.rotate().unwrap();
    let moved = WrappedKey {
        version: ring.wrap(&ContentKey::random()).version,
        ..wrapped
    };
    assert_eq!(ring.unwrap(&moved), Err(KeyRingError::Damaged));
}

/// Versions that the ring does not have are told apart from damage.
pub fn a_version_that_is_not_held_is_unknown(ring: &dyn KeyRing) {
    let wrapped = ring.wrap(&ContentKey::random());
    for version in [0, wrapped.version + 1, u32::MAX] {
        let changed = WrappedKey {
            version,
            ..wrapped.clone()
        };
        assert_eq!(ring.unwrap(&changed), Err(KeyRingError::UnknownVersion(version)));
    }
}

/// After a rotation the newest version wraps, and all older ones unwrap.
pub fn rotation_keeps_old_versions(ring: &dyn KeyRing) {
    let key = ContentKey::random();
    let before = ring.versions();
    let wrapped: Vec<_> = (0..3)
        .map(|_| {
            let version = ring.rotate().unwrap();
            let wrapped = ring.wrap(&key);
            assert_eq!(wrapped.version, version);
            wrapped
        })
        .collect();
    assert!(
        wrapped
            .iter()
            .all(|wrapped| ring.unwrap(wrapped).as_ref() == Ok(&key))
    );
    let after = ring.versions();
    assert_eq!(after[..before.len()], before[..]);
    assert_eq!(after.len(), before.len() + 3);
    assert!(after.windows(2).all(|pair| pair[0].version < pair[1].version));
}

/// Rotations and wrapping at the same time lose nothing.
pub fn versions_may_rotate_while_others_wrap(ring: &dyn KeyRing) {
    let before = ring.versions().len();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| ring.rotate().unwrap());
            scope.spawn(|| {
                for _ in 0..50 {
                    let key = ContentKey::random();
                    assert_eq!(ring.unwrap(&ring.wrap(&key)), Ok(key));
                }
            });
        }
    });
    assert_eq!(ring.versions().len(), before + 4);
}

/// A version that was destroyed is not there any more, its number is not used
/// again, and the newest cannot be destroyed.
pub fn a_destroyed_version_unwraps_nothing_and_leaves_the_others(ring: &dyn KeyRing) {
    let key = ContentKey::random();
    let wrapped: Vec<_> = (0..3)
        .map(|_| {
            ring.rotate().unwrap();
            ring.wrap(&key)
        })
        .collect();
    let [first, second, newest] = wrapped.as_slice() else {
        panic!("three rotations")
    };
    ring.destroy(second.version).unwrap();
    assert_eq!(
        ring.unwrap(second),
        Err(KeyRingError::UnknownVersion(second.version))
    );
    assert_eq!(
        ring.destroy(second.version),
        Err(KeyRingError::UnknownVersion(second.version))
    );
    assert_eq!(
        ring.destroy(newest.version),
        Err(KeyRingError::Newest(newest.version))
    );
    assert_eq!(ring.unwrap(first).as_ref(), Ok(&key));
    assert_eq!(ring.unwrap(newest).as_ref(), Ok(&key));
    assert!(
        ring.versions()
            .iter()
            .all(|version| version.version != second.version)
    );
    assert_eq!(ring.rotate(), Ok(newest.version + 1));
}
