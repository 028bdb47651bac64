#![doc = include_str!("../README.md")]

mod authorization;
mod cpu;
mod data_manager;
mod error;
mod health_monitor;
mod key_guard;
mod key_journal;
mod key_rotation;
mod known_objects;
mod operator_change;
mod order_desk;
mod payment_processor;
mod plugin_manager;
pub mod repairer;
mod scrubber;
mod token_manager;
mod turns;
mod uninterrupted;

pub use authorization::{Authorization, AuthorizationPorts, AuthorizationSettings, StatementContext};
pub use data_manager::{
    DataManager, DataPorts, DataSettings, Erasure, OpenObject, Revocation, Upload, VerifiedShare,
};
pub use error::{ServiceError, Shortfall};
pub use health_monitor::{HealthMonitor, HealthPorts};
pub use key_guard::KeyGuard;
pub use key_rotation::{
    KeyRotation, KeyRotationPorts, KeyRotationSettings, KeyVersionUse, destroy_key_version, key_versions,
};
pub use known_objects::KnownObjects;
pub use operator_change::{OperatorChange, OperatorChangeError, OperatorChangePorts};
pub use order_desk::{MoneyPorts, MoneySettings, OrderDesk};
pub use payment_processor::{PaymentProcessor, TransferRequest};
pub use plugin_manager::{PluginManager, PluginSettings, RegisteredPlugins};
pub use repairer::{HeldBy, HeldObject, RepairPorts, Repairer};
pub use scrubber::{ScrubPorts, ScrubReport, ScrubSettings, Scrubber, StorageStatus};
pub use token_manager::{NewToken, TokenManager};

use uninterrupted::uninterrupted;
