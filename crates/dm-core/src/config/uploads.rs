//! What can be set about uploads.

use serde::Deserialize;

/// How many uploads there may be, and how slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UploadsConfig {
    /// Uploads under way at the same time in all; each holds up to some 2.5 MiB of memory.
    pub max_at_once: u32,
    /// Uploads under way at the same time for one API key.
    pub max_at_once_per_key: u32,
    /// Bytes a second below which an upload is given up, once it was slower for
    /// `external_api.idle_timeout_secs`; 0 for no such limit.
    pub min_bytes_per_second: u64,
    /// Resumable uploads that are not complete, in all.
    pub max_unfinished: u32,
    /// Resumable uploads that are not complete, of one API key.
    pub max_unfinished_per_key: u32,
    /// Bytes that they may have in all once they are complete.
    pub max_unfinished_bytes: u64,
    /// Bytes that those of one API key may have once they are complete.
    pub max_unfinished_bytes_per_key: u64,
    /// Seconds after which a resumable upload is forgotten, complete or not.
    pub expire_after_secs: u64,
}

impl Default for UploadsConfig {
    fn default() -> Self {
        Self {
            max_at_once: 1024,
            max_at_once_per_key: 256,
            min_bytes_per_second: 512,
            max_unfinished: 1024,
            max_unfinished_per_key: 64,
            max_unfinished_bytes: 1 << 40,
            max_unfinished_bytes_per_key: 1 << 38,
            expire_after_secs: 3 * 24 * 60 * 60,
        }
    }
}
