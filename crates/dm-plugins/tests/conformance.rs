//! A component is a plugin as good as one in Rust.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::sync::Arc;

use common::{Folder, SAMPLE_MANIFEST, SAMPLE_TEXT};
use dm_core::ports::PluginSource;

async fn open() -> (Arc<dyn PluginSource>, Folder) {
    let folder = Folder::with_text(SAMPLE_MANIFEST, SAMPLE_TEXT, &[]);
    (folder.source.clone(), folder)
}

dm_testing::plugin_source_conformance!(open);
