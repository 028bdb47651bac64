//! The adapters of this crate keep the promises of their ports.

use std::sync::Arc;

use dm_core::{
    envelope::CHUNK_SIZE,
    hash::{ChunkName, DataHash, DataHasher},
    ports::{Sealer, SecretFiles, Unsealable},
    secret::{ContentKey, SecretString},
};
use dm_keys::{ApiKeyManager, FernetSealer, HpkeGrants, KeyManager, NodeKeys, PublicKeys, SecretDirectory};
use dm_testing::{
    api_keys::run_api_keys_suite,
    crypto::{run_grants_suite, run_key_ring_suite, run_master_password_suite, run_sealer_suite},
    user_keys::run_user_keys_suite,
};

use crate::support::TestCatalog;

#[test]
fn the_fernet_sealer_passes_the_suite() {
    run_sealer_suite(&FernetSealer);
}

#[test]
fn the_key_manager_passes_the_suite_of_key_rings() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.json");
    let password = SecretString::new("password");
    let manager = KeyManager::create(&path, &password).unwrap();
    run_key_ring_suite(&manager);
}

#[test]
fn hpke_grants_pass_the_suite() {
    let dir = tempfile::tempdir().unwrap();
    let make = |address| {
        let path = dir.path().join(format!("{:x}.json", rand::random::<u64>()));
        let manager = KeyManager::create(&path, &SecretString::new("password")).unwrap();
        HpkeGrants::new(Arc::new(manager), address)
    };
    run_grants_suite(make);
}

#[test]
fn the_node_keys_pass_the_suite_of_master_passwords() {
    let dir = tempfile::tempdir().unwrap();
    let password = SecretString::new("password");
    let keys = NodeKeys::create(dir.path(), Some(&password), None).unwrap();
    run_master_password_suite(&keys, "password");
}

#[tokio::test]
async fn the_api_key_manager_passes_the_suite() {
    run_api_keys_suite(&ApiKeyManager::new(Arc::new(TestCatalog::default()))).await;
}

#[test]
fn public_keys_pass_the_suite() {
    run_user_keys_suite(&PublicKeys);
}

mod secret_directory {
    use super::*;

    async fn open() -> (Arc<dyn SecretFiles>, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        (Arc::new(SecretDirectory::at(dir.path().join("made later"))), dir)
    }

    dm_testing::secret_files_conformance!(open);
}

/// What is checked, hashed or opened together comes to the same as one after the other.
#[test]
fn passes_that_are_made_together_find_what_each_finds() {
    let (key, mut hasher, mut whole) = (ContentKey::random(), DataHasher::new(), Vec::new());
    for length in [0, 1, 15, 16, 64, 1000, 65_536, CHUNK_SIZE as usize] {
        let plaintext: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
        let chunk = FernetSealer.seal_and_hash(&key, &plaintext, &mut hasher);
        whole.extend_from_slice(&plaintext);
        assert_eq!(chunk.name(), ChunkName::of(chunk.bytes()));
        assert_eq!(FernetSealer.open(&key, chunk.bytes()).unwrap(), plaintext);

        let open = |name, bytes: &[u8]| FernetSealer.open_named(&key, name, bytes.to_vec().into());
        let opened = open(chunk.name(), chunk.bytes()).unwrap();
        assert_eq!(opened.chunk, chunk);
        assert_eq!(opened.plaintext.unwrap(), plaintext);
        assert!(open(ChunkName::of(b"another"), chunk.bytes()).is_none());
        for place in [0, 10, 30, chunk.bytes().len() / 2, chunk.bytes().len() - 1] {
            let mut changed = chunk.bytes().to_vec();
            changed[place] ^= 1;
            assert!(open(chunk.name(), &changed).is_none(), "byte {place}");
            let renamed = open(ChunkName::of(&changed), &changed).unwrap();
            assert_eq!(renamed.plaintext, Err(Unsealable), "byte {place}");
        }
        let short = &chunk.bytes()[..20];
        assert_eq!(
            open(ChunkName::of(short), short).unwrap().plaintext,
            Err(Unsealable)
        );
    }
    assert_eq!(hasher.finish(), DataHash::of(&whole));
}
