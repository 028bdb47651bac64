//! Plugins that are put into the folder of a node.

use std::fs;

use tempfile::TempDir;

/// The text of the sample plugin, which the tests of `dm-plugins` have as well: it refuses
/// whatever has a size of one byte.
const SAMPLE: &str = include_str!("../../crates/dm-plugins/tests/common/sample.wat");

/// Puts a plugin into the node's folder of plugins.
pub(crate) fn install(home: &TempDir, name: &str, manifest: &str, component: &[u8]) {
    let folder = home.path().join("plugins").join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("plugin.toml"), manifest).unwrap();
    fs::write(folder.join("plugin.wasm"), component).unwrap();
}

/// Installs the sample for one hook.
pub(crate) fn install_sample(home: &TempDir, hook: &str) {
    let manifest = format!("name = \"sample\"\nversion = \"1\"\nhooks = [\"{hook}\"]\n");
    install(home, "sample", &manifest, &wat::parse_str(SAMPLE).unwrap());
}

/// Installs a sample that posts the data of each event to this URL of this origin, and fails
/// where it is not taken.
pub(crate) fn install_reporter(home: &TempDir, origin: &str, url: &str) {
    let text = replaced(
        SAMPLE,
        "(param $len i32) (param i32 i32 i64)",
        "(param $len i32) (param $data i32) (param $data-len i32) (param i64)",
    );
    let text = replaced(
        &text,
        "(call $set (i32.const 112) (i32.const 4) (local.get $topic) (local.get $len) (i32.const 40))",
        "(call $send
            (i32.const 116) (i32.const 4)
            (i32.add (global.get $settings) (i32.const 8)) (i32.sub (global.get $settings-len) (i32.const 10))
            (i32.const 0) (i32.const 0) (local.get $data) (local.get $data-len) (i32.const 40))",
    );
    let manifest = format!(
        "name = \"sample\"\nversion = \"1\"\nhooks = [\"events\"]\npermissions = [\"{origin}\"]\n\
         [settings]\nurl = \"{url}\"\n"
    );
    install(home, "sample", &manifest, &wat::parse_str(text).unwrap());
}

fn replaced(text: &str, old: &str, new: &str) -> String {
    assert_eq!(text.matches(old).count(), 1, "{old}");
    text.replace(old, new)
}
