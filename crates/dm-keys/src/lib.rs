#![doc = include_str!("../README.md")]

mod account;
mod api_keys;
mod audit;
mod authorizer;
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
mod raw_token;
mod sealer;
mod text;
mod user_key;
mod user_signing_key;

pub use account::OperatorAccount;
pub use api_keys::ApiKeyManager;
pub use audit::NotOrdered;
pub use authorizer::UserAuthorizer;
pub use error::KeyError;
pub use grants::{HpkeGrants, grant_key_id};
pub use key_manager::KeyManager;
pub use legacy::ImportedVersion;
pub use node_keys::{KEY_FILE, KEYSTORE_FILE, NodeKeys};
pub use sealer::FernetSealer;
pub use user_key::{InvalidUserKey, SignatureFault, UserPublicKey};
pub use user_signing_key::UserSigningKey;
