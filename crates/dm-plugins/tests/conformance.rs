//! A component is a plugin as good as one in Rust.

use std::sync::Arc;

use dm_core::{plugin::Verdict, ports::PluginSource};
use dm_testing::plugins::{received_of, share_of};

use crate::common::{Folder, SAMPLE_MANIFEST, SAMPLE_TEXT, earlier_sample};

async fn open() -> (Arc<dyn PluginSource>, Folder) {
    let folder = Folder::with_text(SAMPLE_MANIFEST, SAMPLE_TEXT, &[]);
    (folder.source.clone(), folder)
}

dm_testing::plugin_source_conformance!(open);

#[tokio::test]
async fn a_plugin_from_before_the_hook_receive_works_as_it_did() {
    let manifest = SAMPLE_MANIFEST.replace(", \"receive\"", "");
    let folder = Folder::with_text(&manifest, &earlier_sample(), &[]);
    let plugin = folder.ready().await;
    assert_eq!(plugin.before_share(&share_of(5)).await.unwrap(), Verdict::Allow);
    assert!(
        plugin.before_receive(&received_of(5)).await.is_err(),
        "it has no such function"
    );
}

#[tokio::test]
async fn a_plugin_with_the_hook_receive_and_without_its_function_is_refused() {
    let folder = Folder::with_text(SAMPLE_MANIFEST, &earlier_sample(), &[]);
    let fault = folder.load().await.err().unwrap().to_string();
    assert!(fault.contains("datamgmt:plugin/receiving@1.0.0"), "{fault}");
}
