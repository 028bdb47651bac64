//! Which API keys and tokens were found valid lately.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use dm_core::api_key::Principal;
use sha2::{Digest, Sha256};

/// Most keys that are remembered; far more than a node has clients.
const CAPACITY: usize = 16 * 1024;

type Ids = HashMap<[u8; 32], Arc<str>>;

/// The keys that both servers have seen to be valid, by their SHA-256; cheap to
/// clone. It only decides whose token bucket a request is counted in, and that
/// an address that has to wait does not keep known clients waiting: whether the
/// key still holds is asked with every request.
#[derive(Clone, Default)]
pub(crate) struct KnownKeys {
    ids: Arc<RwLock<Ids>>,
}

impl KnownKeys {
    /// The id of a key that was valid when it was last seen.
    pub(crate) fn id(&self, key: &str) -> Option<Arc<str>> {
        self.read(|ids| ids.get(&digest(key)).cloned())
    }

    /// Notes whose the key is, or that it is nobody's.
    pub(crate) fn note(&self, key: &str, bearer: Option<&Principal>) {
        let digest = digest(key);
        let is_known = self.read(|ids| ids.contains_key(&digest));
        if is_known == bearer.is_some() {
            return;
        }
        let mut ids = self.ids.write().unwrap_or_else(PoisonError::into_inner);
        let Some(bearer) = bearer else {
            ids.remove(&digest);
            return;
        };
        if ids.len() >= CAPACITY {
            ids.clear();
        }
        ids.insert(digest, bearer.key_id.clone());
    }

    fn read<R>(&self, read: impl FnOnce(&Ids) -> R) -> R {
        read(&self.ids.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(id: &str) -> Principal {
        Principal {
            expires_at: None,
            key_id: id.into(),
            name: id.into(),
            rights: Arc::default(),
            person: None,
        }
    }

    #[test]
    fn a_key_is_known_only_while_it_is_valid() {
        let known = KnownKeys::default();
        assert_eq!(known.id("k"), None);
        known.note("k", Some(&bearer("one")));
        assert_eq!(known.clone().id("k").as_deref(), Some("one"));
        known.note("k", None);
        assert_eq!(known.id("k"), None);
    }

    #[test]
    fn the_number_of_known_keys_is_bounded() {
        let known = KnownKeys::default();
        for number in 0..=CAPACITY {
            known.note(&number.to_string(), Some(&bearer("x")));
        }
        assert!(known.read(Ids::len) <= CAPACITY);
    }
}
