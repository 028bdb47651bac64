//! Looks at what a node needs around it, and says what to do about what is wrong. It changes
//! nothing but a file that it writes to measure the disk, and removes again.

use serde::Serialize;

use crate::{data_dir_lock::DataDirLock, settings::LoadedConfig};

mod certificates;
mod chain;
mod clock;
mod database;
mod disk;
mod object_store;
mod peers;
mod permissions;
mod ports;
mod reach;

/// How bad a finding is; the order counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// As it should be.
    Good,
    /// The node runs, but not as well or as safely as it could.
    Warning,
    /// The node does not run with it, or loses a part of what it is for.
    Fault,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// What was looked at, such as `disk`.
    pub(crate) check: &'static str,
    /// How bad it is.
    pub(crate) severity: Severity,
    /// What was found, as a sentence without a full stop. Never a secret.
    pub(crate) found: String,
    /// What to do about it, where there is something to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) action: Option<String>,
}

impl Finding {
    fn good(check: &'static str, found: impl Into<String>) -> Self {
        Self {
            check,
            severity: Severity::Good,
            found: found.into(),
            action: None,
        }
    }

    fn warning(check: &'static str, found: impl Into<String>, action: impl Into<String>) -> Self {
        Self {
            check,
            severity: Severity::Warning,
            found: found.into(),
            action: Some(action.into()),
        }
    }

    fn fault(check: &'static str, found: impl Into<String>, action: impl Into<String>) -> Self {
        Self {
            severity: Severity::Fault,
            ..Self::warning(check, found, action)
        }
    }
}

/// What is said of a configuration that cannot be used; nothing else can be looked at then.
pub(crate) fn unusable(error: &anyhow::Error) -> Vec<Finding> {
    let action = "correct these settings; `dm-node config check` checks them alone";
    vec![Finding::fault("configuration", format!("{error:#}"), action)]
}

/// Looks at everything that the configuration names.
pub(crate) async fn examine(loaded: &LoadedConfig) -> Vec<Finding> {
    let config = &loaded.config;
    let runs = DataDirLock::is_taken(&config.data_dir);
    let mut findings = configuration(loaded);
    findings.extend(permissions::examine(config));
    findings.extend(ports::examine(config, runs));
    findings.extend(disk::examine(config).await);
    let (chain, object_store) = tokio::join!(chain::examine(config), object_store::examine(config));
    findings.extend(clock::judge(chain.clock.into_iter().chain(object_store.clock)));
    findings.extend(chain.findings);
    findings.extend(object_store.findings);
    findings.extend(database::examine(config).await);
    findings.extend(peers::examine(config).await);
    findings.extend(certificates::examine(config));
    findings
}

fn configuration(loaded: &LoadedConfig) -> Vec<Finding> {
    if loaded.warnings.is_empty() {
        return vec![Finding::good("configuration", "the settings are valid")];
    }
    let remove = "remove the setting";
    let warnings = loaded.warnings.iter();
    warnings
        .map(|warning| Finding::warning("configuration", warning, remove))
        .collect()
}
