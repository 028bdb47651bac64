//! Which API keys were found valid lately, for the rate limit.

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use dm_core::api_key::Principal;
use sha2::{Digest, Sha256};

/// Most keys that are remembered; far more than a node has clients.
const CAPACITY: usize = 10_000;

/// The keys that a worker thread has seen to be valid, by their SHA-256. It
/// only decides whose token bucket a request is counted in: whether the key
/// still holds is asked with every request.
#[derive(Default)]
pub(crate) struct KnownKeys {
    ids: RefCell<HashMap<[u8; 32], Arc<str>>>,
}

impl KnownKeys {
    /// The id of a key that was valid when it was last seen.
    pub(crate) fn id(&self, key: &str) -> Option<Arc<str>> {
        self.ids.borrow().get(&digest(key)).cloned()
    }

    /// Notes whose the key is, or that it is nobody's.
    pub(crate) fn note(&self, key: &str, principal: Option<&Principal>) {
        let digest = digest(key);
        let mut ids = self.ids.borrow_mut();
        match principal {
            None => {
                ids.remove(&digest);
            }
            Some(_) if ids.contains_key(&digest) => {}
            Some(principal) => {
                if ids.len() >= CAPACITY {
                    ids.clear();
                }
                ids.insert(digest, Arc::from(principal.key_id.as_str()));
            }
        }
    }
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(id: &str) -> Principal {
        Principal {
            key_id: id.to_owned(),
            scopes: [].into(),
        }
    }

    #[test]
    fn a_key_is_known_only_while_it_is_valid() {
        let known = KnownKeys::default();
        assert_eq!(known.id("k"), None);
        known.note("k", Some(&principal("one")));
        assert_eq!(known.id("k").as_deref(), Some("one"));
        known.note("k", None);
        assert_eq!(known.id("k"), None);
    }

    #[test]
    fn the_number_of_known_keys_is_bounded() {
        let known = KnownKeys::default();
        for number in 0..=CAPACITY {
            known.note(&number.to_string(), Some(&principal("x")));
        }
        assert!(known.ids.borrow().len() <= CAPACITY);
    }
}
