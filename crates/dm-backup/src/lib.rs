#![doc = include_str!("../README.md")]
//! ## Modules
//!
//! | module | what |
//! | --- | --- |
//! | `create` | [`BackupMaker`]: the stream of a running node's backup, over [`BackupPorts`] |
//! | `read` | [`read_backup`]: checks a backup while it hands its [`Contents`] over |
//! | `verify` | [`verify_backup`]: the contents that are only counted |
//! | `restore` | [`Restoring`]: the contents that become files and objects |
//! | `manifest` | [`BackupManifest`]: what the node signs of its backup |
//! | `entry` | the names of the entries of the archive |

mod create;
mod entry;
mod manifest;
mod read;
mod restore;
mod verify;

pub use create::{BackupMaker, BackupPorts};
pub use manifest::{BackupManifest, SignedManifest};
pub use read::{BackupFlaw, Contents, read_backup};
pub use restore::{RestoredFiles, Restoring, forget_open_uploads, give_up_orders};
pub use verify::{BackupSummary, verify_backup};
