//! What a test may change before the servers start.

use std::{sync::Arc, time::Duration};

use dm_core::{
    config::{Acknowledge, ApiConfig, ApiKeysConfig, RateLimit, UploadsConfig},
    ports::{HealthCheck, Plugin},
};
use dm_testing::{api_keys::MemoryApiKeys, identity::MemoryIdentityProvider};

/// What a test may change before the servers start.
pub struct TestConfig {
    pub internal: ApiConfig,
    pub external: ApiConfig,
    pub dashboard: ApiConfig,
    pub uploads: UploadsConfig,
    pub anchor_patience: Duration,
    pub money_patience: Duration,
    pub stop_patience: Duration,
    pub plugins: Vec<Arc<dyn Plugin>>,
    pub authorization_required: bool,
    pub api_keys: ApiKeysConfig,
    pub acknowledge: Acknowledge,
    pub checks: Vec<Arc<dyn HealthCheck>>,
    /// Who knows people, and where browsers reach the console, if that is said.
    pub identity: Option<Arc<MemoryIdentityProvider>>,
    pub console_url: Option<String>,
    /// Keys that there are before the servers start.
    pub api_keys_before: Arc<MemoryApiKeys>,
}

impl Default for TestConfig {
    fn default() -> Self {
        let local = |config: ApiConfig| ApiConfig {
            host: [127, 0, 0, 1].into(),
            port: 0,
            rate_limit: RateLimit {
                per_second: 100_000,
                burst: 100_000,
            },
            ..config
        };
        Self {
            internal: local(ApiConfig::internal()),
            external: local(ApiConfig::external()),
            dashboard: local(ApiConfig::dashboard()),
            uploads: UploadsConfig::default(),
            anchor_patience: Duration::from_millis(20),
            money_patience: Duration::from_secs(5),
            stop_patience: Duration::from_secs(5),
            plugins: Vec::new(),
            authorization_required: false,
            api_keys: ApiKeysConfig {
                max_wrong: 100_000,
                ..ApiKeysConfig::default()
            },
            acknowledge: Acknowledge::OnRequest,
            checks: Vec::new(),
            identity: None,
            console_url: None,
            api_keys_before: Arc::new(MemoryApiKeys::new()),
        }
    }
}
