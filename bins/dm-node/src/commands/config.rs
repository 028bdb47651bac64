//! `dm-node config`: checks or prints the configuration.

use serde_json::json;

use crate::{cli::ConfigCommand, home, output, settings::DEFAULT_FILE};

pub(crate) fn run(command: ConfigCommand, as_json: bool) -> anyhow::Result<()> {
    match command {
        ConfigCommand::Default => output::print_raw(DEFAULT_FILE.as_bytes()),
        ConfigCommand::Check(args) => {
            let loaded = home::load_to_run(&args)?;
            for warning in &loaded.warnings {
                eprintln!("warning: {warning}");
            }
            output::print(as_json, &json!({"valid": true}), |_| {
                "The configuration is valid.".to_owned()
            })
        }
    }
}
