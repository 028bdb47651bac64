//! The `dm-node` binary.

use std::process::ExitCode;

use dm_services::RegisteredPlugins;

fn main() -> ExitCode {
    dm_node::run(RegisteredPlugins::default())
}
