use std::net::SocketAddr;

use serde::Deserialize;

/// Where programs for monitoring read the node's metrics.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// Address and port of the listener; empty or `off` for none. Port 0 lets the system choose.
    pub listen: String,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:9464".to_owned(),
        }
    }
}

/// The text is no address with a port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be an address with a port, such as 127.0.0.1:9464, or empty")]
pub struct InvalidListen;

impl MetricsConfig {
    /// Where the listener is; `None` for none.
    ///
    /// # Errors
    /// [`InvalidListen`].
    pub fn address(&self) -> Result<Option<SocketAddr>, InvalidListen> {
        match self.listen.trim() {
            // The environment cannot set an empty text.
            "" | "off" => Ok(None),
            listen => listen.parse().map(Some).map_err(|_| InvalidListen),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listener_is_at_an_address_or_off() {
        let address = |listen: &str| {
            let listen = listen.to_owned();
            MetricsConfig { listen }.address()
        };
        assert_eq!(address("[::1]:9464"), Ok(Some("[::1]:9464".parse().unwrap())));
        assert_eq!(address(" 10.0.0.1:0 "), Ok(Some("10.0.0.1:0".parse().unwrap())));
        assert_eq!(address(""), Ok(None));
        assert_eq!(address("off"), Ok(None));
        assert_eq!(address("9464"), Err(InvalidListen));
        assert_eq!(address("localhost:9464"), Err(InvalidListen));
    }
}
