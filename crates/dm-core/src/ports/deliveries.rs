use alloy_primitives::Address;
use async_trait::async_trait;

use super::CatalogError;
use crate::{acknowledgement::Delivery, envelope::ObjectId};

/// Keeps what recipients have acknowledged: of an own object each of its recipients, of an
/// object of another owner this node itself. The newest delivery of an object to a
/// recipient is kept, which outlasts the share: it is a fact of the past. The log has all of them.
///
/// A delivery is recorded by [`EventLog::append`](super::EventLog::append) of its
/// `delivery` or `acknowledgement` event, whose position it then keeps. The same transaction
/// moves the item of the inbox that this node has acknowledged to
/// [`ItemState::Acknowledged`](crate::inbox::ItemState::Acknowledged).
#[async_trait]
pub trait DeliveryCatalog: Send + Sync {
    /// Keeps a delivery, which is not recorded yet, and returns the one that is kept: that of
    /// the same object and recipient which is there, unless it
    /// [makes way](Delivery::makes_way_for). Durable when it returns.
    async fn keep_delivery(&self, new: &Delivery) -> Result<Delivery, CatalogError>;

    /// The delivery of an object to a recipient.
    async fn delivery(&self, object: &ObjectId, recipient: Address)
    -> Result<Option<Delivery>, CatalogError>;

    /// All deliveries of an object, in the order of their recipients' addresses.
    async fn deliveries(&self, object: &ObjectId) -> Result<Vec<Delivery>, CatalogError>;

    /// Deliveries that are not recorded yet, with numbers in the order of their arrival, after
    /// `after`.
    async fn unrecorded_deliveries(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Delivery)>, CatalogError>;
}
