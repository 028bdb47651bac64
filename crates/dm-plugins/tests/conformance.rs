//! A component is a plugin as good as one in Rust.

use std::sync::Arc;

use dm_core::ports::PluginSource;

use crate::common::{Folder, SAMPLE_MANIFEST, SAMPLE_TEXT};

async fn open() -> (Arc<dyn PluginSource>, Folder) {
    let folder = Folder::with_text(SAMPLE_MANIFEST, SAMPLE_TEXT, &[]);
    (folder.source.clone(), folder)
}

dm_testing::plugin_source_conformance!(open);
