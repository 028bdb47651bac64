#![doc = include_str!("../README.md")]

mod create;
mod entry;
mod manifest;
mod read;
mod restore;
mod verify;

pub use create::{BackupMaker, BackupPorts};
pub use manifest::{BackupManifest, SignedManifest};
pub use read::{BackupFlaw, Contents, read_backup};
pub use restore::{RestoredFiles, Restoring, give_up_orders};
pub use verify::{BackupSummary, verify_backup};
