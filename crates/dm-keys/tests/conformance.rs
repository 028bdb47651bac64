//! The adapters of this crate keep the promises of their ports.

use std::sync::Arc;

use dm_core::{ports::SecretFiles, secret::SecretString};
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
