//! The services of the node that need nothing but ports.

mod cpu;
mod data_manager;
mod error;
mod health_monitor;
mod token_manager;

pub use data_manager::{DataManager, DataPorts, DataSettings, OpenObject, Upload, VerifiedShare};
pub use error::{ServiceError, Shortfall};
pub use health_monitor::HealthMonitor;
pub use token_manager::TokenManager;
