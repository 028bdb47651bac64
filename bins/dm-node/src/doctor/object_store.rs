//! Whether the S3 store answers, and whether there are credentials for it.

use dm_core::config::NodeConfig;
use reqwest::{Client, Url};

use super::{
    Finding,
    chain::Examined,
    reach::{self, PATIENCE},
};

const CHECK: &str = "object_store";

/// Nothing where large objects are files.
pub(super) async fn examine(config: &NodeConfig) -> Examined {
    let s3 = &config.storage.s3;
    if config.storage.objects_url.is_none() {
        return Examined::default();
    }
    let endpoint = s3
        .endpoint
        .clone()
        .unwrap_or_else(|| format!("https://s3.{}.amazonaws.com", s3.region));
    let Ok(url) = Url::parse(&endpoint) else {
        return Examined {
            findings: vec![Finding::fault(
                CHECK,
                "storage.s3.endpoint is no URL",
                "set it to https://HOST:PORT",
            )],
            clock: Vec::new(),
        };
    };
    let place = reach::place(&url);
    let answer = match Client::builder().timeout(PATIENCE).build() {
        Ok(client) => client.get(url).send().await,
        Err(error) => Err(error),
    };
    let mut examined = Examined::default();
    examined.findings.push(match answer {
        Ok(answer) => {
            examined.clock.extend(reach::clock_of(place.clone(), &answer));
            let found =
                format!("{place} answers; the bucket and the credentials are tried when the node starts");
            Finding::good(CHECK, found)
        }
        Err(error) => {
            let found = format!("{place} does not answer: {}", reach::why(error));
            Finding::fault(CHECK, found, "check storage.s3.endpoint and the firewall")
        }
    });
    examined
}

#[cfg(test)]
mod tests {
    use super::{super::Severity, *};

    #[tokio::test]
    async fn a_store_that_is_not_there_is_found() {
        let mut config = NodeConfig::default();
        assert!(examine(&config).await.findings.is_empty());
        config.storage.objects_url = Some("s3://bucket/node".to_owned());
        config.storage.s3.endpoint = Some("http://user:SECRET@127.0.0.1:1".to_owned());
        let findings = examine(&config).await.findings;
        assert_eq!(findings[0].severity, Severity::Fault);
        assert!(!format!("{findings:?}").contains("SECRET"), "{findings:?}");
    }
}
