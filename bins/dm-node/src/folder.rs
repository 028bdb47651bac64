//! Folders that are shared as one object: a tar archive in the GNU format.
//!
//! An archive has only files and folders. Each folder stands before what is in it, and what
//! a folder has is in the order of its names. Times, owners and rights are left out, but for
//! whether a file can be executed. So the same folder is always the same archive, and has
//! the same data hash.

mod contents;
mod declared;
mod listing;
mod pack;
mod paths;
mod unpack;

pub(crate) use contents::Folder;
pub(crate) use declared::Declared;
pub(crate) use listing::labels_with_listing;
pub(crate) use unpack::unpack;

/// Files and folders of one archive, at most.
const MAX_ENTRIES: u64 = 100_000;
