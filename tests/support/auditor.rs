//! `dm-node verify --receipt`, where there is no node.

use std::path::Path;

use serde_json::Value;

use super::node::dm_node;

/// Whether a receipt holds by the chain alone, and what was printed.
pub(crate) async fn verify_offline(file: &Path, receipt: &Value, chain: &str) -> (bool, String) {
    std::fs::write(file, receipt.to_string()).unwrap();
    let output = dm_node()
        .args(["verify", "--chain", chain, "--receipt"])
        .arg(file)
        .output()
        .await
        .unwrap();
    let printed = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    (output.status.success(), printed)
}
