use std::collections::HashSet;

use async_trait::async_trait;

use super::CatalogError;
use crate::{
    envelope::ObjectId,
    hash::DataHash,
    inbox::{Arrival, InboxItem, InboxQuery, ItemState, Term},
};

/// Keeps the inbox: one item for each object that was shared with this node.
#[async_trait]
pub trait InboxCatalog: Send + Sync {
    /// Lists an item, to be found by these terms; whether it is new.
    ///
    /// Of an item that is listed, what its envelope says is replaced if the envelope is
    /// newer, and that it is anchored is added. It keeps its number, its times and its state,
    /// but for one that was over: that can be read again. An item that was removed stays so.
    async fn list_item(&self, item: &InboxItem, terms: &[Term]) -> Result<bool, CatalogError>;

    /// The item of an object, unless it was removed.
    async fn inbox_item(&self, object: &ObjectId) -> Result<Option<InboxItem>, CatalogError>;

    /// Those of these objects that have an item, unless it was removed.
    async fn listed_among(&self, objects: &[ObjectId]) -> Result<HashSet<ObjectId>, CatalogError>;

    /// The items of this data, the newest first.
    async fn items_of(&self, data_hash: &DataHash) -> Result<Vec<InboxItem>, CatalogError>;

    /// A page of items and their numbers, the newest first.
    async fn inbox_items(&self, query: &InboxQuery) -> Result<Vec<(u64, InboxItem)>, CatalogError>;

    /// Moves an item to a state that its own [leads to](ItemState::leads_to); whether it did.
    /// It keeps `now` (milliseconds since the Unix epoch) as the time at which it was first
    /// fetched.
    async fn advance_item(&self, object: &ObjectId, state: ItemState, now: u64)
    -> Result<bool, CatalogError>;

    /// Moves all items whose time is over at `now` (milliseconds since the Unix epoch) to
    /// [`ItemState::Expired`].
    async fn expire_items(&self, now: u64) -> Result<(), CatalogError>;

    /// Takes the items of this data out of the list for good; whether there were any.
    async fn remove_items(&self, data_hash: &DataHash) -> Result<bool, CatalogError>;

    /// Keeps that these have come, until each is [settled](Self::settle_arrival). Of each
    /// object the newest version is kept.
    async fn note_arrivals(&self, arrivals: &[Arrival]) -> Result<(), CatalogError>;

    /// What has come and is not settled, in an order of its own, after the object `after`.
    async fn arrivals(&self, after: Option<ObjectId>, limit: usize) -> Result<Vec<Arrival>, CatalogError>;

    /// What there was to do about what came is done. A newer version that has come meanwhile
    /// stays.
    async fn settle_arrival(&self, arrival: &Arrival) -> Result<(), CatalogError>;
}
