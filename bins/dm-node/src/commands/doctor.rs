//! `dm-node doctor`: what is wrong around a node, and what to do about it.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::{
    cli::RunArgs,
    doctor::{self, Severity},
    home,
    output::{self, cell},
};

/// Succeeds where there is nothing to do, ends with 1 where there are warnings, and with 2
/// where there are faults.
pub(crate) async fn run(args: &RunArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    let findings = match home::load_to_run(args) {
        Ok(loaded) => doctor::examine(&loaded).await,
        Err(error) => doctor::unusable(&error),
    };
    let worst = findings.iter().map(|finding| finding.severity).max();
    let worst = worst.unwrap_or(Severity::Good);
    let document = json!({"worst": worst, "findings": findings});
    output::print(as_json, &document, describe)?;
    Ok(ExitCode::from(worst as u8))
}

fn describe(document: &Value) -> String {
    let findings = document["findings"].as_array().map_or(&[][..], Vec::as_slice);
    let mut lines = Vec::new();
    for finding in findings {
        let (severity, check) = (cell(&finding["severity"]), cell(&finding["check"]));
        lines.push(format!("{severity:<8} {check:<14} {}", cell(&finding["found"])));
        if let Some(action) = finding["action"].as_str() {
            lines.push(format!("{:<8} {:<14} {action}", "", "to do:"));
        }
    }
    lines.join("\n")
}
