use async_trait::async_trait;

use super::CatalogError;
use crate::instance::{Instance, InstanceId, SeenInstance};

/// How long an instance that says nothing is remembered, in milliseconds: a day.
pub const INSTANCE_KEPT_MS: u64 = 24 * 60 * 60 * 1000;

/// Knows the instances of this node, by the clock of whoever keeps them.
#[async_trait]
pub trait Instances: Send + Sync {
    /// Notes that this instance is there, and what it says of itself. Instances that have been
    /// silent for [`INSTANCE_KEPT_MS`] are forgotten.
    async fn note_instance(&self, instance: &Instance) -> Result<(), CatalogError>;

    /// All that have not left, in the order in which they were first seen.
    async fn instances(&self) -> Result<Vec<SeenInstance>, CatalogError>;

    /// Forgets an instance that ends; whether it was known.
    async fn remove_instance(&self, id: InstanceId) -> Result<bool, CatalogError>;
}
