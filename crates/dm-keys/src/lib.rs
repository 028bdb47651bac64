#![doc = include_str!("../README.md")]
//! ## Modules
//!
//! | module | what |
//! | --- | --- |
//! | `node_keys`, `operator_keys`, `password_change` | [`NodeKeys`]: all keys of a directory, the operator accounts, another master password |
//! | `key_manager` | [`KeyManager`]: the encrypted key file of a running node |
//! | `key_set`, `key_file`, `master_key`, `legacy` | the secrets in memory, their file, the key that it is encrypted under, the older node's file |
//! | `sealer`, `raw_token` | [`FernetSealer`]: chunks as raw Fernet tokens |
//! | `grants` | [`HpkeGrants`]: content keys for one address |
//! | `account`, `keystore` | [`LocalAccount`]: secp256k1 accounts and their Web3 keystore files |
//! | `api_keys` | [`ApiKeyManager`]: API keys, their cache and the ledger of their use |
//! | `public_keys`, `user_key`, `user_signing_key`, `audit` | [`PublicKeys`], [`UserPublicKey`], [`UserSigningKey`]: users, their keys, their orders |
//! | `secret_directory`, `private_file`, `text` | [`SecretDirectory`]: files for the owner alone, replaced durably; texts as people give them |

mod account;
mod api_keys;
mod audit;
mod error;
mod grants;
mod key_file;
#[cfg(test)]
mod key_life;
mod key_manager;
mod key_set;
mod keystore;
mod legacy;
mod master_key;
mod node_keys;
mod operator_keys;
mod password_change;
mod private_file;
mod public_keys;
mod raw_token;
mod sealer;
mod secret_directory;
mod text;
mod user_key;
mod user_signing_key;

pub use account::LocalAccount;
pub use api_keys::ApiKeyManager;
pub use audit::NotOrdered;
pub use error::KeyError;
pub use grants::{HpkeGrants, grant_key_id};
pub use key_manager::KeyManager;
pub use legacy::ImportedVersion;
pub use node_keys::{KEY_FILE, KEYSTORE_FILE, NodeKeys};
pub use public_keys::PublicKeys;
pub use sealer::FernetSealer;
pub use secret_directory::SecretDirectory;
pub use user_key::{InvalidUserKey, UserPublicKey};
pub use user_signing_key::UserSigningKey;
