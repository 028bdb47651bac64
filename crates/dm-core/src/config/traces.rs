use serde::Deserialize;

/// Whether and where the spans of requests are sent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TracesConfig {
    /// Where a collector of OpenTelemetry takes spans over OTLP/HTTP, such as
    /// `http://127.0.0.1:4318/v1/traces`; empty or `off` for nowhere.
    pub otlp_url: String,
    /// Percentage of the traces that begin at this node and are recorded, 0 to 100. Where a caller
    /// says that it records its trace, this node does as well.
    pub sample_percent: u8,
    /// Whether spans tell locators of data and addresses of recipients.
    pub show_data: bool,
}

impl Default for TracesConfig {
    fn default() -> Self {
        Self {
            otlp_url: String::new(),
            sample_percent: 100,
            show_data: false,
        }
    }
}

/// The text is no address of a collector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTraces {
    /// It is of another kind.
    #[error("must begin with http:// or https://, or be empty")]
    Scheme,
    /// It has a user name or a password, which the settings show.
    #[error("must have no user name and no password")]
    Credentials,
}

impl TracesConfig {
    /// Where spans are sent; `None` for nowhere.
    ///
    /// # Errors
    /// [`InvalidTraces`].
    pub fn collector(&self) -> Result<Option<&str>, InvalidTraces> {
        let url = match self.otlp_url.trim() {
            // The environment cannot set an empty text.
            "" | "off" => return Ok(None),
            url => url,
        };
        let rest = ["http://", "https://"]
            .iter()
            .find_map(|scheme| url.strip_prefix(scheme))
            .ok_or(InvalidTraces::Scheme)?;
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        match host.contains('@') {
            true => Err(InvalidTraces::Credentials),
            false => Ok(Some(url)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_has_a_url_without_credentials_or_is_off() {
        let of = |otlp_url: &str| TracesConfig {
            otlp_url: otlp_url.to_owned(),
            ..TracesConfig::default()
        };
        let url = "https://collector.example:4318/v1/traces";
        assert_eq!(of(url).collector(), Ok(Some(url)));
        for off in ["", " ", "off"] {
            assert_eq!(of(off).collector(), Ok(None));
        }
        for other in ["localhost:4318", "grpc://localhost:4317", "httpx"] {
            assert_eq!(of(other).collector(), Err(InvalidTraces::Scheme));
        }
        let secret = of("http://name:word@localhost/v1/traces");
        assert_eq!(secret.collector(), Err(InvalidTraces::Credentials));
        assert!(of("http://localhost/@").collector().is_ok());
    }
}
