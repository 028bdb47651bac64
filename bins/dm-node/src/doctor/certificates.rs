//! The certificates of both APIs.

use dm_core::{config::NodeConfig, health};

use super::Finding;

const CHECK: &str = "certificates";

pub(super) fn examine(config: &NodeConfig) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        dm_api::examine_tls(&config.internal_api, &config.external_api, &config.dashboard_api)
            .into_iter()
            .map(|(api, found)| judge(api, found))
            .collect();
    let (external, host) = (&config.external_api, config.external_api.host);
    if !external.tls.is_on() && !host.is_loopback() && external.trusted_proxies.is_empty() {
        let found = format!("external_api: clients reach {host} without TLS, and no proxy is named");
        let action = "set external_api.tls, or external_api.trusted_proxies to the proxy that has TLS";
        findings.push(Finding::warning(CHECK, found, action));
    }
    findings
}

fn judge(api: &str, found: health::Finding) -> Finding {
    match found {
        health::Finding::Working => Finding::good(CHECK, format!("{api}: the certificate is valid")),
        health::Finding::Degraded(trouble) => {
            Finding::warning(CHECK, format!("{api}: {}", trouble.reason), trouble.action)
        }
        health::Finding::Failed(trouble) => {
            Finding::fault(CHECK, format!("{api}: {}", trouble.reason), trouble.action)
        }
    }
}

#[cfg(test)]
mod tests {
    use dm_testing::certificates::Authority;

    use super::{super::Severity, *};

    #[test]
    fn certificates_that_are_missing_or_expired_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::new("ours");
        let mut config = NodeConfig::default();
        assert_eq!(
            examine(&config)[0].severity,
            Severity::Warning,
            "no TLS for the world"
        );
        let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        config.external_api.tls.cert_file = Some(cert.clone());
        config.external_api.tls.key_file = Some(key.clone());
        let missing = &examine(&config)[0];
        assert_eq!(missing.severity, Severity::Fault);
        assert!(
            missing.found.contains("external_api.tls.cert_file"),
            "{missing:?}"
        );
        for (pair, severity) in [
            (authority.issue(&["localhost"]), Severity::Good),
            (authority.issue_expired(&["localhost"]), Severity::Warning),
        ] {
            std::fs::write(&cert, pair.cert).unwrap();
            std::fs::write(&key, pair.key).unwrap();
            assert_eq!(examine(&config)[0].severity, severity);
        }
    }
}
