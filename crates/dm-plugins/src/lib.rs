#![doc = include_str!("../README.md")]

mod bindings;
mod exports;
mod folder;
mod host;
mod http;
mod limits;
mod manifest;
mod permission;
mod plugin;
mod ticker;

pub use folder::{PluginFolder, PluginFolderConfig};
pub use manifest::{Limits, Manifest, ManifestError};
pub use permission::{InvalidPermission, Permission};
